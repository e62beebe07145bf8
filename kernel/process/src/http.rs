//! The HTTP server of every process: TCP, TLS and Unix sockets, graceful at the end, a panic ends one request alone.

use std::{
    convert::Infallible,
    future::Future,
    io,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
    time::Duration,
};

use ::http::{Request, Response, StatusCode};
use bytes::Bytes;
use futures::FutureExt;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tentacular_contract::limits::HEADER_TIME;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Error of a body, for whoever logs it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// A response whose body may come from anywhere.
pub type BoxResponse = Response<UnsyncBoxBody<Bytes, BoxError>>;

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

/// Where connections come from.
pub trait Accept: Send + 'static {
    /// A connection.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection. An error is logged, and accepting goes on.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Io>> + Send;
}

impl Accept for TcpListener {
    type Io = tokio::net::TcpStream;

    async fn accept(&self) -> io::Result<Self::Io> {
        let (stream, _) = Self::accept(self).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
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
    listener: A,
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
            Ok(io) => {
                connections.spawn(connection(Arc::clone(&builder), io, handler.clone(), draining.clone()));
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

/// Serves one connection. One on which nothing runs does not live for ever, and does not hold the drain.
async fn connection<I, H>(builder: Arc<Builder<TokioExecutor>>, io: I, handler: H, draining: CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let requests = Requests::default();
    let begin = requests.clone();
    let service = service_fn(move |request| {
        let (handler, running) = (handler.clone(), begin.begin());
        async move {
            let response = answer(&handler, request).await;
            response.map(|response| response.map(|body| Counted { body, _running: running }))
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
            () = requests.idle(ending) => return,
        }
    }
}

/// How long a connection may stay without a request after its first one. Longer than clients keep theirs (90 s is usual),
/// so that it is they who end it.
const IDLE: Duration = Duration::from_mins(2);
/// How long one without a request may take to end, once the process does.
const END: Duration = Duration::from_secs(1);

/// The requests that run on one connection, each until its answer has been sent.
#[derive(Debug, Clone, Default)]
struct Requests(watch::Sender<Count>);

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    running: usize,
    ever: bool,
}

impl Requests {
    fn begin(&self) -> Running {
        self.0.send_modify(|count| *count = Count { running: count.running + 1, ever: true });
        Running(self.clone())
    }

    /// Returns when nothing has run for as long as a connection may wait for its first request, or its next, or its end.
    async fn idle(&self, ending: bool) {
        let mut changes = self.0.subscribe();
        loop {
            let count = *changes.borrow_and_update();
            let patience = match count {
                Count { running: 1.., .. } => Duration::MAX,
                _ if ending => END,
                Count { ever: true, .. } => IDLE,
                Count { ever: false, .. } => HEADER_TIME,
            };
            if timeout(patience, changes.changed()).await.is_err() {
                return;
            }
        }
    }
}

/// One request that runs.
#[derive(Debug)]
struct Running(Requests);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| count.running -= 1);
    }
}

/// The body of an answer, which ends its request.
struct Counted {
    body: UnsyncBoxBody<Bytes, BoxError>,
    _running: Running,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
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
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        sync::Notify,
        time::Instant,
    };

    use super::*;

    /// Says that it has begun, and answers when it is told to.
    #[derive(Debug, Clone, Default)]
    struct Slow {
        begun: Arc<Notify>,
        go_on: Arc<Notify>,
    }

    impl Handler for Slow {
        type Body = Full<Bytes>;

        async fn handle(&self, _: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
            self.begun.notify_one();
            self.go_on.notified().await;
            Ok(Response::new(Full::new(Bytes::from_static(b"done"))))
        }
    }

    async fn serving(handler: Slow) -> (std::net::SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let draining = CancellationToken::new();
        let served = tokio::spawn(serve(listener, handler, draining.clone(), Duration::from_mins(10)));
        (address, draining, served)
    }

    /// HTTP/2: the preface and empty SETTINGS.
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_is_closed() {
        let (address, _draining, _served) = serving(Slow::default()).await;
        for said in [&b""[..], b"P", b"PRI * HT", PREFACE, b"GET / HTTP/1.1\r\nHost"] {
            let begun = Instant::now();
            let mut stream = TcpStream::connect(address).await.expect("connected");
            stream.write_all(said).await.expect("written");
            let mut got = Vec::new();
            let _ = stream.read_to_end(&mut got).await;
            let taken = begun.elapsed();
            assert!(taken < HEADER_TIME * 2, "{said:?} after {taken:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_drain_waits_for_requests_and_not_for_connections() {
        let handler = Slow::default();
        let (address, draining, served) = serving(handler.clone()).await;
        let mut silent = TcpStream::connect(address).await.expect("connected");
        silent.write_all(PREFACE).await.expect("written");
        let mut asking = TcpStream::connect(address).await.expect("connected");
        asking.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("written");
        handler.begun.notified().await;
        draining.cancel();
        sleep(Duration::from_mins(1)).await;
        assert!(!served.is_finished(), "a request runs");
        handler.go_on.notify_one();
        let mut answer = String::new();
        asking.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.ends_with("done"), "{answer}");
        let begun = Instant::now();
        served.await.expect("served");
        assert!(begun.elapsed() <= END * 2, "only a silent connection was left");
    }
}
