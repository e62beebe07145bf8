//! The HTTP server of every process: TCP, TLS and Unix sockets, graceful at the end, a panic ends one request alone.

mod requests;
pub mod tls;

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use ::http::{Request, Response, StatusCode};
use bytes::Bytes;
use futures::FutureExt;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    body::{Body, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tentacular_contract::limits::HEADER_TIME;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::requests::{Counted, Requests};

/// Connections that wait to be accepted. Whoever comes when there are more waits for a second, until he asks again: too
/// few, and a burst of some clients delays all others. The system may allow fewer.
const BACKLOG: u32 = 4096;

/// Error of a body, for whoever logs it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// A response whose body may come from anywhere.
pub type BoxResponse = Response<UnsyncBoxBody<Bytes, BoxError>>;

/// Connections of one listener at once. More are closed as they come; each holds some kilobytes and a file descriptor.
const CONNECTIONS: usize = 8192;
/// With more connections than this, one on which nothing runs ends after [`HEADER_TIME`].
const CROWD: usize = 1024;

/// Answers requests.
pub trait Handler: Clone + Send + Sync + 'static {
    /// The body of its answers.
    type Body: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static;

    /// Answers one request. Its connection goes on, whatever the answer.
    fn handle(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Self::Body>, Infallible>> + Send;
}

/// The other end of the connection that a request came on: an extension of each request that came over TCP. An IPv4
/// address is one, also where the listener is on IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// Listens on `address`.
///
/// # Errors
/// When the address is taken, or not one of this machine.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // The connections of the process before may linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// What counts as one address where clients are held apart: of IPv6 the network that one customer has (RFC 6177).
pub fn site(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        address @ IpAddr::V4(_) => address,
    }
}

/// Where connections come from.
pub trait Accept: Send + 'static {
    /// A connection.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection, and who is at its other end where that is an IP address. An error is logged, and accepting
    /// goes on.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Io, Option<Peer>)>> + Send;
}

impl Accept for TcpListener {
    type Io = tokio::net::TcpStream;

    async fn accept(&mut self) -> io::Result<(Self::Io, Option<Peer>)> {
        let (stream, address) = Self::accept(self).await?;
        stream.set_nodelay(true)?;
        Ok((stream, Some(Peer(address.ip().to_canonical()))))
    }
}

/// What lies at the bottom of an error, such as `Connection refused`; what is above it only says where.
pub fn root_cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    std::iter::successors(Some(error), |error| error.source()).last().unwrap_or(error)
}

/// Boxes a body.
pub fn boxed<B>(response: Response<B>) -> BoxResponse
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    response.map(|body| body.map_err(Into::into).boxed_unsync())
}

/// Serves until `draining` is cancelled, then lets requests in flight end within `drain_time`.
pub async fn serve<A: Accept, H: Handler>(
    mut listener: A,
    handler: H,
    draining: CancellationToken,
    drain_time: Duration,
) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIME);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Some(Duration::from_secs(30)));
    let builder = Arc::new(builder);
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = draining.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(_) if connections.len() >= CONNECTIONS => {
                tracing::warn!(limit = CONNECTIONS, "too many connections, one was refused");
            }
            Ok((io, peer)) => {
                let serve = Connection {
                    builder: Arc::clone(&builder),
                    peer,
                    handler: handler.clone(),
                    draining: draining.clone(),
                    all: connections.clone(),
                };
                connections.spawn(serve.run(io));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                // Out of file descriptors, most likely: give others time to close some.
                sleep(Duration::from_millis(20)).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if timeout(drain_time, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "drain time is over, connections are cut");
    }
}

/// One connection and what it is served with.
struct Connection<H> {
    builder: Arc<Builder<TokioExecutor>>,
    peer: Option<Peer>,
    handler: H,
    draining: CancellationToken,
    /// All connections of the listener, this one included.
    all: TaskTracker,
}

impl<H: Handler> Connection<H> {
    /// Serves it. A connection on which nothing runs does not live for ever, and does not hold the drain.
    async fn run<I>(self, io: I)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { builder, peer, handler, draining, all } = self;
        let requests = Requests::default();
        let begin = requests.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            if let Some(peer) = peer {
                request.extensions_mut().insert(peer);
            }
            let (handler, running) = (handler.clone(), begin.begin());
            async move {
                let response = answer(&handler, request).await;
                response.map(|response| response.map(|body| Counted::new(body, running)))
            }
        });
        let connection = builder.serve_connection(TokioIo::new(io), service);
        tokio::pin!(connection);
        let mut ending = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection ended early");
                    }
                    return;
                }
                () = draining.cancelled(), if !ending => {
                    connection.as_mut().graceful_shutdown();
                    ending = true;
                }
                () = requests.idle(ending, || all.len() > CROWD) => return,
            }
        }
    }
}

async fn answer<H: Handler>(handler: &H, request: Request<Incoming>) -> Result<BoxResponse, Infallible> {
    match AssertUnwindSafe(handler.handle(request)).catch_unwind().await {
        Ok(Ok(response)) => Ok(boxed(response)),
        Ok(Err(never)) => match never {},
        Err(_) => {
            tracing::error!("a request ended in a panic");
            let mut response = Response::new(Full::new(Bytes::from_static(b"internal error\n")));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            Ok(boxed(response))
        }
    }
}

#[cfg(test)]
mod tests;
