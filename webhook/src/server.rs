//! What the API server talks to: TLS on one port, and `POST /admit`.

use std::{convert::Infallible, fmt, io, sync::Arc};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use rustls::{
    ServerConfig,
    crypto::ring,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tentacular_contract::limits::{HEADER_TIME, REVIEW_BODY_BYTES};
use tentacular_process::http::{Accept, Handler, Peer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Mutex, Semaphore, mpsc},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::review::Reviewer;

/// Handshakes at the same time; more wait in the kernel's queue. The API server keeps few connections.
const HANDSHAKES: usize = 256;
/// The path in our configuration.
const PATH: &str = "/admit";

/// The certificate that new connections get. Clones share it. Without one, handshakes fail.
#[derive(Clone, Default)]
pub(crate) struct Serving(Arc<ArcSwapOption<CertifiedKey>>);

impl Serving {
    /// Serves `key` from the next connection on.
    pub(crate) fn set(&self, key: Arc<CertifiedKey>) {
        self.0.store(Some(key));
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Serving").field(&self.0.load().is_some()).finish()
    }
}

impl ResolvesServerCert for Serving {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}

/// TLS connections whose handshake is done. A slow client keeps nobody else waiting.
#[derive(Debug)]
pub(crate) struct TlsListener(Mutex<mpsc::Receiver<(TlsStream<TcpStream>, Option<Peer>)>>);

impl TlsListener {
    /// Takes connections from `listener` until the result is dropped.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub(crate) fn new(listener: TcpListener, serving: Serving) -> anyhow::Result<Self> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(serving));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let (ready, connections) = mpsc::channel(1);
        tokio::spawn(take(listener, TlsAcceptor::from(Arc::new(config)), ready));
        Ok(Self(Mutex::new(connections)))
    }
}

impl Accept for TlsListener {
    type Io = TlsStream<TcpStream>;

    async fn accept(&self) -> io::Result<(Self::Io, Option<Peer>)> {
        self.0.lock().await.recv().await.ok_or_else(|| io::Error::other("the listener ended"))
    }
}

async fn take(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    ready: mpsc::Sender<(TlsStream<TcpStream>, Option<Peer>)>,
) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        let Ok(permit) = Arc::clone(&handshakes).acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = ready.closed() => return,
            accepted = Accept::accept(&listener) => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                // Out of file descriptors, most likely: give others time to close some.
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                continue;
            }
        };
        let (acceptor, ready) = (acceptor.clone(), ready.clone());
        tokio::spawn(async move {
            match timeout(HEADER_TIME, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => {
                    drop(permit);
                    let _ = ready.send((stream, peer)).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            }
        });
    }
}

/// Answers the requests of the API server.
#[derive(Debug, Clone)]
pub(crate) struct Admission(pub(crate) Reviewer);

impl Handler for Admission {
    type Body = Full<Bytes>;

    async fn handle(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        Ok(match (request.uri().path(), request.method()) {
            (PATH, &Method::POST) => self.admit(request.into_body()).await,
            (PATH, _) => {
                let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "POST only");
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
                response
            }
            _ => text(StatusCode::NOT_FOUND, "POST /admit is all there is"),
        })
    }
}

impl Admission {
    async fn admit<B>(&self, body: B) -> Response<Full<Bytes>>
    where
        B: hyper::body::Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let body = match timeout(HEADER_TIME, Limited::new(body, REVIEW_BODY_BYTES).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                let problem = format!("the review is larger than the limit of {REVIEW_BODY_BYTES} bytes");
                tracing::warn!(problem, "no answer to a review");
                return text(StatusCode::PAYLOAD_TOO_LARGE, problem);
            }
            Ok(Err(_)) => return text(StatusCode::BAD_REQUEST, "the body ended early"),
            Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "the body took too long"),
        };
        match self.0.answer(&body) {
            Ok(review) => respond(StatusCode::OK, "application/json", review),
            Err(error) => {
                tracing::warn!(%error, "no answer to a review");
                text(StatusCode::BAD_REQUEST, error.to_string())
            }
        }
    }
}

fn text(status: StatusCode, text: impl Into<String>) -> Response<Full<Bytes>> {
    respond(status, "text/plain; charset=utf-8", text.into() + "\n")
}

fn respond(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
