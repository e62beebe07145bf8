//! An HTTP proxy before the API server, with the administrator's rights, that notes each request and can lose answers.

use std::{
    convert::Infallible,
    io,
    sync::{Arc, Mutex},
};

use http::{Method, Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use kube::{Client, client::Body};
use tentacular_cluster::Cluster;
use tentacular_test_harness::ControlPlane;
use tokio::net::TcpListener;

#[derive(Default)]
struct State {
    seen: Vec<Method>,
    /// The next answers to a request of one of these methods do not arrive.
    lost: Vec<Method>,
}

/// A cluster whose every request passes through here.
pub(crate) struct Proxy {
    pub(crate) cluster: Cluster,
    state: Arc<Mutex<State>>,
}

impl Proxy {
    pub(crate) async fn new(control_plane: &ControlPlane) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(serve(listener, control_plane.admin().unwrap(), Arc::clone(&state)));
        let path = control_plane.directory().join(format!("proxy-{port}.kubeconfig"));
        let config = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
            "clusters": [{ "name": "proxy", "cluster": { "server": format!("http://127.0.0.1:{port}") } }],
            "contexts": [{ "name": "proxy", "context": { "cluster": "proxy", "user": "nobody" } }],
            "users": [{ "name": "nobody", "user": {} }],
        });
        std::fs::write(&path, config.to_string()).unwrap();
        Self { cluster: Cluster::from_kubeconfig("test", &path).await.unwrap(), state }
    }

    /// The methods of the requests so far.
    pub(crate) fn seen(&self) -> Vec<Method> {
        self.state.lock().unwrap().seen.clone()
    }

    /// The next request of this method is done, and its answer lost.
    pub(crate) fn lose(&self, method: Method) {
        self.state.lock().unwrap().lost.push(method);
    }

    /// Whether all answers that were to be lost are.
    pub(crate) fn has_lost_all(&self) -> bool {
        self.state.lock().unwrap().lost.is_empty()
    }
}

async fn serve(listener: TcpListener, client: Client, state: Arc<Mutex<State>>) -> Infallible {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (client, state) = (client.clone(), Arc::clone(&state));
        let pass = service_fn(move |request| pass(client.clone(), Arc::clone(&state), request));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), pass));
    }
}

async fn pass(client: Client, state: Arc<Mutex<State>>, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let (mut parts, body) = request.into_parts();
    let method = parts.method.clone();
    state.lock().unwrap().seen.push(method.clone());
    let body = http_body_util::BodyExt::collect(body).await.map_err(io::Error::other)?.to_bytes();
    parts.headers.remove(http::header::HOST);
    let request = Request::from_parts(parts, Body::from(body.to_vec()));
    let answer = client.send(request).await.map_err(io::Error::other)?;
    let mut state = state.lock().unwrap();
    match state.lost.iter().position(|lost| *lost == method) {
        Some(place) => {
            state.lost.remove(place);
            Err(io::Error::other("lost"))
        }
        None => Ok(answer),
    }
}
