use std::{
    io,
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tentacular_contract::pod_security::Version;
use tentacular_process::{
    http::{
        Ending, serve,
        tls::{Serving, TlsListener},
    },
    metrics::Metrics,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    admit::Installation,
    callers::Callers,
    certificate::{Pair, issue},
    namespaces::Namespaces,
};

const REVIEW: &str = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u",
    "kind":{"group":"","version":"v1","kind":"Namespace"},
    "resource":{"group":"","version":"v1","resource":"namespaces"},
    "operation":"CREATE","userInfo":{},"object":{"metadata":{"annotations":{"tentacular.io/mode":"777"}}}}}"#;

/// As the API server offers.
const HTTP1: &[&[u8]] = &[b"http/1.1"];

fn localhost() -> ServerName<'static> {
    ServerName::try_from("localhost").expect("a name")
}

fn pair() -> Pair {
    issue(&[localhost()], SystemTime::now(), Duration::from_hours(1)).expect("a pair")
}

fn serve_pair(serving: &Serving, pair: &Pair) {
    serving.set(pair.check(&[localhost()], SystemTime::now()).expect("usable").key);
}

struct Running {
    address: std::net::SocketAddr,
    serving: Serving,
    draining: CancellationToken,
    stop: CancellationToken,
    server: tokio::task::JoinHandle<()>,
}

async fn running() -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let serving = Serving::default();
    let tls = TlsListener::http1(listener, serving.clone()).expect("TLS");
    let (draining, stop) = (CancellationToken::new(), CancellationToken::new());
    let decisions = Decisions::new(&Metrics::default());
    let installation = Installation { ingress_domain: None, version: watch::channel(Version::NEWEST).1 };
    let reviewer = Reviewer::new(decisions.clone(), Namespaces::fixed([]), Callers::administrators([]), installation);
    let ending = Ending { leaving: draining.clone(), stop: stop.clone(), drain_time: Duration::from_secs(5) };
    let server = tokio::spawn(serve(tls, Admission::new(reviewer, decisions), ending));
    Running { address, serving, draining, stop, server }
}

async fn connect(
    address: std::net::SocketAddr,
    pair: &Pair,
    protocols: &[&[u8]],
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    connect_from(Ipv4Addr::LOCALHOST, address, pair, protocols).await
}

async fn connect_from(
    source: Ipv4Addr,
    address: std::net::SocketAddr,
    pair: &Pair,
    protocols: &[&[u8]],
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pair.ca.as_bytes()).expect("a CA")).expect("a CA");
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let socket = TcpSocket::new_v4()?;
    socket.bind((source, 0).into())?;
    let stream = socket.connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(localhost(), stream).await
}

fn post(path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(format!("https://localhost{path}")).body(Full::new(body.into())).expect("a request")
}

/// Sends requests over one HTTP/1.1 connection; statuses and bodies.
async fn ask(running: &Running, pair: &Pair, requests: Vec<Request<Full<Bytes>>>) -> Vec<(StatusCode, String)> {
    ask_from(Ipv4Addr::LOCALHOST, running, pair, requests).await
}

async fn ask_from(
    source: Ipv4Addr,
    running: &Running,
    pair: &Pair,
    requests: Vec<Request<Full<Bytes>>>,
) -> Vec<(StatusCode, String)> {
    let stream = connect_from(source, running.address, pair, HTTP1).await.expect("a connection");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
    tokio::spawn(connection);
    let mut answers = Vec::new();
    for request in requests {
        sender.ready().await.expect("still open");
        let response = sender.send_request(request).await.expect("an answer");
        let status = response.status();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        answers.push((status, String::from_utf8_lossy(&body).into_owned()));
    }
    answers
}

#[tokio::test]
async fn reviews_are_answered_and_nothing_else() {
    let (running, pair) = (running().await, pair());
    serve_pair(&running.serving, &pair);
    let get = Request::get("https://localhost/review").body(Full::default()).expect("a request");
    let requests = vec![post("/review", REVIEW), post("/review", "{}"), post("/", REVIEW), get];
    let answers = ask(&running, &pair, requests).await;
    let statuses: Vec<_> = answers.iter().map(|(status, _)| status.as_u16()).collect();
    assert_eq!(statuses, [200, 400, 404, 405]);
    assert!(answers[0].1.contains("\"allowed\":false"), "{answers:?}");
}

#[tokio::test]
async fn a_review_above_the_limit_is_refused() {
    let (running, pair) = (running().await, pair());
    serve_pair(&running.serving, &pair);
    let answers = ask(&running, &pair, vec![post("/review", vec![b' '; REVIEW_BODY_BYTES + 1])]).await;
    assert_eq!(answers[0].0, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(answers[0].1.contains("8388608"), "{answers:?}");
}

#[tokio::test]
async fn a_review_that_would_be_much_larger_in_memory_is_refused() {
    let (running, pair) = (running().await, pair());
    serve_pair(&running.serving, &pair);
    let with =
        |data: String| post("/review", REVIEW.replace("\"metadata\":", &format!("\"data\":{data},\"metadata\":")));
    let ports = |count: usize| format!("[{}]", vec![r#"{"port":1}"#; count].join(","));
    let text = format!("\"{}\"", "[{,".repeat(1_000_000));
    let requests = vec![with(ports(VALUES / 2)), with(ports(VALUES / 2 - 100)), with(text)];
    let answers = ask(&running, &pair, requests).await;
    let statuses: Vec<_> = answers.iter().map(|(status, _)| status.as_u16()).collect();
    assert_eq!(statuses, [413, 200, 200]);
    assert!(answers[0].1.contains(&format!("more than {VALUES} values")), "{}", answers[0].1);
}

#[tokio::test]
async fn large_reviews_of_one_address_have_a_share_of_the_memory_and_others_have_theirs() {
    let (running, pair) = (running().await, pair());
    serve_pair(&running.serving, &pair);
    let expecting = "host: localhost\r\nexpect: 100-continue";
    let begin = format!("POST {PATH} HTTP/1.1\r\n{expecting}\r\ncontent-length: {REVIEW_BODY_BYTES}\r\n\r\n");
    let mut flood = connect(running.address, &pair, HTTP1).await.expect("a connection");
    flood.write_all(begin.as_bytes()).await.expect("sent");
    flood.flush().await.expect("sent");
    let mut answer = [0; 12];
    flood.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 100", "its body is read");
    let own = ask(&running, &pair, vec![post(PATH, REVIEW)]);
    let other = ask_from(Ipv4Addr::new(127, 0, 0, 2), &running, &pair, vec![post(PATH, REVIEW)]);
    let (own, other) = tokio::join!(own, other);
    assert_eq!((own[0].0, other[0].0), (StatusCode::TOO_MANY_REQUESTS, StatusCode::OK));
    assert!(own[0].1.contains("no room for another"), "{own:?}");
    drop(flood);
    assert_eq!(ask(&running, &pair, vec![post(PATH, REVIEW)]).await[0].0, StatusCode::OK);
}

#[tokio::test]
async fn http_1_alone_is_spoken() {
    let (running, pair) = (running().await, pair());
    serve_pair(&running.serving, &pair);
    let stream = connect(running.address, &pair, &[b"h2", b"http/1.1"]).await.expect("a connection");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(connect(running.address, &pair, &[b"h2"]).await.is_err());
}

#[tokio::test]
async fn once_it_drains_each_answer_ends_its_connection() {
    let (running, pair) = (running().await, pair());
    serve_pair(&running.serving, &pair);
    let stream = connect(running.address, &pair, HTTP1).await.expect("a connection");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
    let connection = tokio::spawn(connection);
    let before = sender.send_request(post("/review", REVIEW)).await.expect("an answer");
    assert_eq!(before.headers().get(header::CONNECTION), None);
    drop(before);
    running.draining.cancel();
    sender.ready().await.expect("still open");
    let last = sender.send_request(post("/review", REVIEW)).await.expect("an answer");
    assert_eq!(
        (last.status(), &last.headers()[header::CONNECTION]),
        (StatusCode::OK, &HeaderValue::from_static("close"))
    );
    drop(last);
    timeout(Duration::from_mins(2), connection).await.expect("it ends").expect("no panic").expect("in order");
    // Others may still come.
    assert_eq!(ask(&running, &pair, vec![post("/review", REVIEW)]).await[0].0, StatusCode::OK);
}

#[tokio::test]
async fn the_certificate_changes_without_a_restart() {
    let (running, first, second) = (running().await, pair(), pair());
    assert!(connect(running.address, &first, HTTP1).await.is_err(), "no certificate yet");
    serve_pair(&running.serving, &first);
    connect(running.address, &first, HTTP1).await.expect("the first");
    serve_pair(&running.serving, &second);
    assert!(connect(running.address, &first, HTTP1).await.is_err());
    connect(running.address, &second, HTTP1).await.expect("the second");
}

#[tokio::test]
async fn a_silent_client_keeps_nobody_waiting_and_the_server_drains() {
    let (running, pair) = (running().await, pair());
    serve_pair(&running.serving, &pair);
    let _silent = TcpStream::connect(running.address).await.expect("a connection");
    assert_eq!(ask(&running, &pair, vec![post("/review", REVIEW)]).await[0].0, StatusCode::OK);
    running.stop.cancel();
    timeout(Duration::from_mins(2), running.server).await.expect("drained").expect("no panic");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(TcpStream::connect(running.address).await.is_err(), "the port is free");
}
