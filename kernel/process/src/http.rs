//! The HTTP server of every process: TCP, TLS and Unix sockets, graceful at the end, a panic ends one request alone.

mod crowd;
mod requests;
pub mod tls;

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ::http::{
    HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH},
};
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
use tentacular_contract::limits::HEAD_BYTES;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::crowd::Acquaintance;
use self::{
    crowd::Crowd,
    requests::{Counted, Requests},
};

/// Connections that wait to be accepted. Whoever comes when there are more waits for a second, until he asks again: too
/// few, and a burst of some clients delays all others. The system may allow fewer.
const BACKLOG: u32 = 4096;

/// Error of a body, for whoever logs it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// A body that may come from anywhere.
pub type BoxBody = UnsyncBoxBody<Bytes, BoxError>;
/// A response with such a body.
pub type BoxResponse = Response<BoxBody>;

/// Connections of one listener at once. With as many there, one ends for each that comes, or the one that comes: see
/// [`Crowd::make_room`]. Each holds a file descriptor, some kilobytes and up to [`HEAD_BYTES`]: 128 MiB for strangers' heads is
/// what the chart's limit of the kernel's memory has room for.
const CONNECTIONS: usize = 4096;
/// Requests that one HTTP/2 connection may have running.
const STREAMS: u32 = 256;
/// Bytes of a request body that are taken before they are read, for one HTTP/2 stream and for a whole connection.
const STREAM_BYTES: u32 = 64 * 1024;
const CONNECTION_BYTES: u32 = 256 * 1024;
/// With more connections than this, one on which nothing runs ends as soon as a stranger's.
const CROWD: usize = 1024;

/// Answers requests.
pub trait Handler: Clone + Send + Sync + 'static {
    /// The body of its answers.
    type Body: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static;

    /// Whether anybody may connect. Then a connection is a stranger's until the handler says otherwise
    /// ([`Acquaintance::vouch`]): it is kept for less long without work, and ends for others when there are too many.
    const PUBLIC: bool = false;

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

    /// Has the system refuse whoever comes from now on, and gives the connections that came before. Where the system cannot
    /// tell the two apart there are none, and they are closed with the listener.
    fn last(&mut self) -> Vec<(Self::Io, Option<Peer>)> {
        Vec::new()
    }
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

/// How a server ends.
#[derive(Debug, Clone)]
pub struct Ending {
    /// Once cancelled, an answer is the last on its connection: a client that writes while a connection is being closed cannot
    /// know what became of its request. Told now, it makes the next one elsewhere.
    pub leaving: CancellationToken,
    /// Once cancelled, nobody is accepted any more.
    pub stop: CancellationToken,
    /// How long requests in flight may take from then on.
    pub drain_time: Duration,
}

impl Ending {
    /// It stops as soon as it leaves.
    pub fn at(end: &CancellationToken, drain_time: Duration) -> Self {
        Self { leaving: end.clone(), stop: end.clone(), drain_time }
    }
}

/// Serves until the end. A request that comes meanwhile on a connection which is there is answered too.
pub async fn serve<A: Accept, H: Handler>(mut listener: A, handler: H, ending: Ending) {
    let mut builder = Builder::new(TokioExecutor::new());
    // hyper's limit would also end connections that wait for their next request; `Requests::idle` limits both alike.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(Duration::from_secs(30)))
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_BYTES)
        .initial_connection_window_size(CONNECTION_BYTES);
    let builder = Arc::new(builder);
    let connections = TaskTracker::new();
    let mut crowd = Crowd::default();
    let mut begin = |(io, peer): (A::Io, Option<Peer>)| {
        if connections.len() >= CONNECTIONS && !crowd.make_room() {
            return;
        }
        let acquaintance = if H::PUBLIC { Acquaintance::default() } else { Acquaintance::known(peer) };
        let serve = Connection {
            builder: Arc::clone(&builder),
            peer,
            acquaintance: acquaintance.clone(),
            handler: handler.clone(),
            ending: ending.clone(),
            all: connections.clone(),
        };
        let task = connections.spawn(serve.run(io));
        crowd.add(peer, acquaintance, task.abort_handle());
    };
    loop {
        let accepted = tokio::select! {
            () = ending.stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(accepted) => begin(accepted),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                // Out of file descriptors, most likely: give others time to close some.
                sleep(Duration::from_millis(20)).await;
            }
        }
    }
    listener.last().into_iter().for_each(begin);
    drop(listener);
    connections.close();
    if timeout(ending.drain_time, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "drain time is over, connections are cut");
    }
}

/// One connection and what it is served with.
struct Connection<H> {
    builder: Arc<Builder<TokioExecutor>>,
    peer: Option<Peer>,
    acquaintance: Acquaintance,
    handler: H,
    ending: Ending,
    /// All connections of the listener, this one included.
    all: TaskTracker,
}

/// What a connection and its requests tell each other.
#[derive(Debug, Default)]
struct Course {
    /// Its requests are of HTTP/2.
    http2: AtomicBool,
    /// The process leaves.
    leaving: AtomicBool,
}

impl<H: Handler> Connection<H> {
    /// Serves it. A connection on which nothing runs does not live for ever, and does not hold the drain.
    async fn run<I>(self, io: I)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { builder, peer, acquaintance, handler, ending: Ending { leaving, stop, .. }, all } = self;
        let known = acquaintance.clone();
        let requests = Requests::default();
        let begin = requests.clone();
        let course = Arc::<Course>::default();
        let shared = Arc::clone(&course);
        let service = service_fn(move |mut request: Request<Incoming>| {
            if let Some(peer) = peer {
                request.extensions_mut().insert(peer);
            }
            request.extensions_mut().insert(acquaintance.clone());
            let (handler, running) = (handler.clone(), begin.begin());
            let (is_head, course) = (request.method() == Method::HEAD, Arc::clone(&shared));
            // HTTP/2 has a frame for the end, and forbids the header (RFC 9113 section 8.2.2).
            let http2 = request.version() == Version::HTTP_2;
            course.http2.store(http2, Ordering::Relaxed);
            async move {
                let Ok(mut response) = answer(&handler, request).await;
                if is_head {
                    response = without_body(response);
                }
                if course.leaving.load(Ordering::Relaxed) && !http2 {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response.map(|body| Counted::new(body, running)))
            }
        });
        let connection = builder.serve_connection(TokioIo::new(io), service);
        tokio::pin!(connection);
        let mut stopping = false;
        loop {
            tokio::select! {
                // That the process leaves is known before the next request is looked at.
                biased;
                () = leaving.cancelled(), if !course.leaving.load(Ordering::Relaxed) => {
                    course.leaving.store(true, Ordering::Relaxed);
                }
                () = stop.cancelled(), if !stopping => {
                    if course.http2.load(Ordering::Relaxed) {
                        connection.as_mut().graceful_shutdown();
                    }
                    stopping = true;
                }
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection ended early");
                    }
                    return;
                }
                () = requests.idle(stopping, || !known.is_vouched_for() || all.len() > CROWD) => return,
                () = requests.stalled() => return,
            }
        }
    }
}

/// The answer to HEAD: what GET would say, without its content (RFC 9110 section 9.3.2). hyper sees to it for HTTP/1 alone.
fn without_body(response: BoxResponse) -> BoxResponse {
    let length = response.body().size_hint().exact();
    let mut response = boxed(response.map(|_| Full::new(Bytes::new())));
    if let Some(length) = length {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    response
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
