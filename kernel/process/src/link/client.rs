//! The kernel's end of the link: kept-alive connections to one sidecar's socket.

use std::{
    future::Future,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
};

use ::http::{Request, Response, Uri};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use tentacular_contract::limits::{CALLS_AT_ONCE_IN_A_SIDECAR, SIDECAR_PATIENCE};
use tokio::{
    net::UnixStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tower_service::Service;

use super::peer;
use crate::http::root_cause;

/// Connections that are kept without a request on them.
const IDLE_CONNECTIONS: usize = 32;
/// Most bytes of an answer that are read at once, and most bytes of its head: pieces of many answers wait for callers who read
/// slowly.
const BUFFER: usize = 64 * 1024;

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// As many calls run there as may: nothing was sent, it may be sent again.
    #[error("{CALLS_AT_ONCE_IN_A_SIDECAR} calls run at {path} already")]
    Busy {
        /// The socket.
        path: PathBuf,
    },
    /// No connection came about: nothing was sent, it may be sent again.
    #[error("cannot connect to {path}: {reason}")]
    NotConnected {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The connection broke; the sidecar may have begun.
    #[error("the connection to {path} broke: {reason}")]
    Broken {
        /// The socket.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
}

/// A client of one sidecar. Cheap to clone; clones share connections and places.
#[derive(Debug, Clone)]
pub struct LinkClient {
    path: PathBuf,
    client: Client<Connector, Full<Bytes>>,
    places: Arc<Semaphore>,
}

/// A place among the calls that run at once in a sidecar. It is free for another when this is dropped.
#[derive(Debug)]
#[must_use = "the place is free again at once"]
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

impl LinkClient {
    /// A client of the socket at `path`. With `uid`, whoever listens there must run as it.
    pub fn new(path: &Path, uid: Option<u32>) -> Self {
        let connector = Connector { path: path.to_owned(), uid };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .http1_max_buf_size(BUFFER)
            // hyper sends again by itself only what it had not begun to write.
            .retry_canceled_requests(true)
            .build(connector);
        Self { path: path.to_owned(), client, places: Arc::new(Semaphore::new(CALLS_AT_ONCE_IN_A_SIDECAR)) }
    }

    /// A place for a call, to be held until its answer has ended; waits a moment for one. Questions that are no calls
    /// need none.
    pub async fn place(&self) -> Result<Place, LinkError> {
        match timeout(SIDECAR_PATIENCE, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Place { _permit: permit }),
            // It is never closed.
            Ok(Err(_)) | Err(_) => Err(LinkError::Busy { path: self.path.clone() }),
        }
    }

    /// Sends one request; its URI is replaced by the sidecar's endpoint. Nothing that was begun is sent again.
    pub async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>, LinkError> {
        *request.uri_mut() = Uri::from_static("http://localhost/mcp");
        self.client.request(request).await.map_err(|error| {
            let reason = root_cause(&error).to_string();
            let path = self.path.clone();
            if error.is_connect() {
                LinkError::NotConnected { path, reason }
            } else {
                LinkError::Broken { path, reason }
            }
        })
    }
}

/// Connects to a socket file and looks who listens there.
#[derive(Debug, Clone)]
struct Connector {
    path: PathBuf,
    uid: Option<u32>,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<UnixStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<UnixStream>>> + Send>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { path, uid } = self.clone();
        Box::pin(async move {
            let stream = UnixStream::connect(path).await?;
            if let Some(uid) = uid {
                peer::require_uid(&stream, uid)?;
            }
            Ok(TokioIo::new(stream))
        })
    }
}
