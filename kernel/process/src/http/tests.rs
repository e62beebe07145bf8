//! How long connections live, and what a handler learns of them.

use tentacular_contract::limits::HEADER_TIME;
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

async fn serving(handler: impl Handler) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let draining = CancellationToken::new();
    let served = tokio::spawn(serve(listener, handler, Ending::at(&draining, Duration::from_mins(10))));
    (address, draining, served)
}

/// The same for anybody who connects.
#[derive(Debug, Clone, Default)]
struct Public(Slow);

impl Handler for Public {
    type Body = Full<Bytes>;

    const PUBLIC: bool = true;

    async fn handle(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        self.0.handle(request).await
    }
}

/// HTTP/2: the preface and empty SETTINGS.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_is_closed() {
    let (public, _draining, _served) = serving(Public::default()).await;
    let (known, _draining, _served) = serving(Slow::default()).await;
    for said in [&b""[..], b"P", b"PRI * HT", PREFACE, b"GET / HTTP/1.1\r\nHost"] {
        assert!(kept(public, said).await < HEADER_TIME * 2, "{said:?}");
        assert!(kept(known, said).await < Duration::from_mins(3), "{said:?}");
    }
    // A client with a pool keeps what it has not used yet for as long as what it has, and counts on it.
    assert!(kept(known, b"").await > Duration::from_secs(90));
}

/// How long a connection is kept that says this and no more.
async fn kept(address: SocketAddr, said: &[u8]) -> Duration {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.write_all(said).await.expect("written");
    let _ = stream.read_to_end(&mut Vec::new()).await;
    begun.elapsed()
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
    assert!(begun.elapsed() <= requests::END * 2, "only a silent connection was left");
}

#[tokio::test(start_paused = true)]
async fn a_request_on_a_kept_connection_is_answered_while_the_server_ends_and_is_its_last() {
    let handler = Slow::default();
    let (address, draining, served) = serving(handler.clone()).await;
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let mut answers = Vec::new();
    for ends in [false, true] {
        if ends {
            draining.cancel();
            // The server has heard of it.
            sleep(requests::END / 2).await;
        }
        handler.go_on.notify_one();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("written");
        while !answers.ends_with(b"done") {
            let count = stream.read_buf(&mut answers).await.expect("an answer");
            assert!(count > 0, "closed after {:?}", String::from_utf8_lossy(&answers));
        }
        let answer = String::from_utf8(std::mem::take(&mut answers)).expect("text");
        assert_eq!(answer.contains("connection: close\r\n"), ends, "{answer}");
    }
    assert_eq!(stream.read_buf(&mut answers).await.expect("the end"), 0);
    served.await.expect("served");
}

/// Answers with the address that the request came from.
#[derive(Debug, Clone)]
struct Address;

impl Handler for Address {
    type Body = Full<Bytes>;

    async fn handle(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let text = request.extensions().get::<Peer>().map_or("none".to_owned(), |peer| peer.0.to_string());
        Ok(Response::new(Full::new(text.into())))
    }
}

#[tokio::test]
async fn each_request_carries_the_address_it_came_from() {
    for (listen, connect, expected) in
        [("127.0.0.1:0", "127.0.0.1", "127.0.0.1"), ("[::]:0", "127.0.0.1", "127.0.0.1"), ("[::1]:0", "::1", "::1")]
    {
        let listener = TcpListener::bind(listen).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        tokio::spawn(serve(listener, Address, Ending::at(&CancellationToken::new(), Duration::ZERO)));
        let mut stream = TcpStream::connect((connect, port)).await.expect("connected");
        stream.write_all(&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2)).await.expect("written");
        stream.shutdown().await.expect("all asked");
        let mut answers = String::new();
        stream.read_to_string(&mut answers).await.expect("answers");
        assert_eq!(answers.matches(&format!("\r\n\r\n{expected}")).count(), 2, "{listen}: {answers}");
    }
}

#[tokio::test(start_paused = true)]
async fn in_a_crowd_a_connection_without_work_ends_sooner() {
    for (crowded, expected) in [(false, Duration::from_mins(2)), (true, HEADER_TIME)] {
        let requests = Requests::default();
        drop(requests.begin());
        let begun = Instant::now();
        requests.idle(false, || crowded).await;
        // Timers count in milliseconds and round up.
        assert_eq!(begun.elapsed().as_secs(), expected.as_secs());
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_takes_ends_its_connection_and_one_that_is_made_slowly_does_not() {
    let requests = Requests::default();
    let mut body =
        Counted::new(Full::new(Bytes::from_static(b"done")).map_err(Into::into).boxed_unsync(), requests.begin());
    let begun = Instant::now();
    requests.stalled().await;
    assert!((30..90).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    // Taken, and the end asked for: nothing waits for the other end any more.
    body.frame().await.expect("a piece").expect("whole");
    assert!(body.frame().await.is_none());
    assert!(timeout(Duration::from_mins(10), requests.stalled()).await.is_err());

    let never = futures::stream::pending::<Result<hyper::body::Frame<Bytes>, BoxError>>();
    let mut slow = Counted::new(http_body_util::StreamBody::new(never).boxed_unsync(), requests.begin());
    assert!(timeout(Duration::from_mins(10), slow.frame()).await.is_err());
    assert!(timeout(Duration::from_mins(10), requests.stalled()).await.is_err(), "the sidecar still works on it");
}

/// Sends without end on one path, and one word after a minute on all others.
#[derive(Debug, Clone)]
struct TwoPaces;

impl Handler for TwoPaces {
    type Body = BoxBody;

    async fn handle(&self, request: Request<Incoming>) -> Result<BoxResponse, Infallible> {
        if request.uri().path() == "/endless" {
            let piece = Bytes::from(vec![b' '; 1 << 14]);
            let pieces =
                futures::stream::repeat_with(move || Ok::<_, BoxError>(hyper::body::Frame::data(piece.clone())));
            return Ok(Response::new(http_body_util::StreamBody::new(pieces).boxed_unsync()));
        }
        sleep(Duration::from_mins(1)).await;
        Ok(boxed(Response::new(Full::new(Bytes::from_static(b"done")))))
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_takes_ends_no_other_of_its_connection() {
    let (address, _draining, _served) = serving(TwoPaces).await;
    let io = TokioIo::new(TcpStream::connect(address).await.expect("connected"));
    let mut client = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    // An answer that is not read takes its own window, and leaves room in the connection's.
    client.initial_stream_window_size(1 << 16).initial_connection_window_size(1 << 20);
    let (mut sender, connection) = client.handshake::<_, Full<Bytes>>(io).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let ask = |path: &str| Request::get(format!("http://x{path}")).body(Full::default()).expect("a request");
    let untaken = sender.send_request(ask("/endless")).await.expect("a head");
    let late = sender.send_request(ask("/late")).await.expect("an answer while another is not taken");
    assert_eq!(late.into_body().collect().await.expect("all of it").to_bytes(), "done");
    // With none beside it that is made or taken, it ends the connection.
    timeout(Duration::from_mins(2), connection).await.expect("ended").expect("run").ok();
    drop(untaken);
}
