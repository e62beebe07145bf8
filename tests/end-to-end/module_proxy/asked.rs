//! An HTTP server in the place of the module proxy, which answers by what the path says and records who asks.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinSet};

/// The server. It lives as long as the test's runtime.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) url: String,
    record: Arc<Mutex<Record>>,
}

#[derive(Debug, Default)]
struct Record {
    paths: Vec<String>,
    agents: Vec<String>,
    at_once: usize,
    most_at_once: usize,
}

/// Counts a request as under way for as long as it lives.
struct Under(Arc<Mutex<Record>>);

impl Asked {
    /// Starts one. A path that names `away` leads to `elsewhere`.
    pub(super) async fn start(elsewhere: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let record = Arc::<Mutex<Record>>::default();
        tokio::spawn(serve(listener, Arc::clone(&record), elsewhere.to_owned()));
        Ok(Self { url, record })
    }

    /// The paths that were asked for, sorted.
    pub(super) fn paths(&self) -> Vec<String> {
        let mut paths = lock(&self.record).paths.clone();
        paths.sort();
        paths
    }

    /// As whom those who asked came.
    pub(super) fn agents(&self) -> Vec<String> {
        lock(&self.record).agents.clone()
    }

    /// How many requests were under way at the same time at most.
    pub(super) fn most_at_once(&self) -> usize {
        lock(&self.record).most_at_once
    }
}

impl Under {
    fn way(record: &Arc<Mutex<Record>>, request: &Request<Incoming>) -> Self {
        let mut locked = lock(record);
        locked.paths.push(request.uri().path().to_owned());
        let agent = request.headers().get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        locked.agents.push(agent.unwrap_or_default().to_owned());
        locked.at_once += 1;
        locked.most_at_once = locked.most_at_once.max(locked.at_once);
        Self(Arc::clone(record))
    }
}

impl Drop for Under {
    fn drop(&mut self) {
        lock(&self.0).at_once -= 1;
    }
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: TcpListener, record: Arc<Mutex<Record>>, elsewhere: String) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (record, elsewhere) = (Arc::clone(&record), elsewhere.clone());
        let service = service_fn(move |request| answer(Arc::clone(&record), elsewhere.clone(), request));
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(
    record: Arc<Mutex<Record>>,
    elsewhere: String,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let _under = Under::way(&record, &request);
    let path = request.uri().path().to_owned();
    let leads = |to: String| (StatusCode::FOUND, Some(to));
    let (status, to) = match &path {
        path if path.contains("silent") => std::future::pending().await,
        path if path.contains("broken") => (StatusCode::INTERNAL_SERVER_ERROR, None),
        path if path.contains("range") => leads("/exact@1.2.3".to_owned()),
        path if path.contains("away") => leads(format!("{elsewhere}/stolen")),
        _ => (StatusCode::OK, None),
    };
    let mut response = Response::new(Full::from("export {}"));
    *response.status_mut() = status;
    if let Some(to) = to {
        response.headers_mut().insert(header::LOCATION, to.parse().unwrap());
    }
    Ok(response)
}
