//! The part of a kubelet's HTTPS service that the API server asks for logs (`/containerLogs`).

use std::net::Ipv4Addr;

use anyhow::Context as _;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use k8s_openapi::jiff::Timestamp;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::logs::{ContainerLogs, Wanted};
use crate::tls::{Acceptor, Authority};

/// The kubelet's address as the node reports it: the API server is told to ask there.
pub(super) const ADDRESS: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// A service that listens and does not answer yet.
pub(super) struct Kubelet {
    listener: TcpListener,
    acceptor: Acceptor,
    logs: ContainerLogs,
}

impl Kubelet {
    /// Listens on a free port. As with a kubelet that signed its own certificate, the API server does not look at it.
    pub(super) async fn bind(logs: ContainerLogs) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((ADDRESS, 0)).await.context("no port for the node's kubelet")?;
        Ok(Self { listener, acceptor: Acceptor::new(&Authority::new()?)?, logs })
    }

    pub(super) fn port(&self) -> anyhow::Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    /// Answers as long as the task lives.
    pub(super) async fn serve(self) {
        let mut connections = JoinSet::new();
        loop {
            let Ok((stream, _)) = self.listener.accept().await else { continue };
            connections.spawn(connection(stream, self.acceptor.clone(), self.logs.clone()));
            while connections.try_join_next().is_some() {}
        }
    }
}

/// Ends at the peer's will; there is nobody to tell why.
async fn connection(stream: TcpStream, acceptor: Acceptor, logs: ContainerLogs) {
    if let Ok(stream) = acceptor.accept(stream).await {
        let service = service_fn(|request| std::future::ready(anyhow::Ok(answer(&logs, &request))));
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }
}

fn answer(logs: &ContainerLogs, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let (status, body) = said(logs, request.method(), request.uri().path(), request.uri().query());
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
}

fn said(logs: &ContainerLogs, method: &Method, path: &str, query: Option<&str>) -> (StatusCode, Vec<u8>) {
    let parts: Vec<_> = path.trim_start_matches('/').split('/').collect();
    let ["containerLogs", namespace, pod, container] = parts[..] else {
        return (StatusCode::NOT_FOUND, b"this kubelet has logs only".to_vec());
    };
    if method != Method::GET {
        return (StatusCode::METHOD_NOT_ALLOWED, Vec::new());
    }
    let named = (namespace.to_owned(), pod.to_owned(), container.to_owned());
    match logs.read(&named, &wanted(query.unwrap_or_default()), Timestamp::now()) {
        Some(lines) => (StatusCode::OK, lines),
        // In the words of a kubelet.
        None => (
            StatusCode::BAD_REQUEST,
            format!("previous terminated container {container:?} in pod {pod:?} not found").into_bytes(),
        ),
    }
}

/// Numbers and truth values need no decoding.
fn wanted(query: &str) -> Wanted {
    let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let number = |name: &str| value(name).and_then(|value| value.parse().ok());
    Wanted {
        previous: value("previous") == Some("true"),
        since_seconds: value("sinceSeconds").and_then(|value| value.parse().ok()),
        tail_lines: number("tailLines"),
        limit_bytes: number("limitBytes"),
        timestamps: value("timestamps") == Some("true"),
    }
}
