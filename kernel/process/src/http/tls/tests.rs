//! Handshakes that succeed, and those that are not meant to.

use std::{convert::Infallible, net::SocketAddr};

use http::{Request, Response};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    client::conn::http2,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::CertifiedKey as Issued;
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    sync::mpsc,
    task::JoinHandle,
    time::Instant,
};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::http::{Ending, Handler, serve};

/// Longer than any test takes.
const HANG: Duration = Duration::from_mins(1);
/// Longer still, so that nothing is let go because its time is over.
const NEVER: Duration = Duration::from_hours(1);

/// Tells who asked.
#[derive(Debug, Clone)]
struct Asked(mpsc::Sender<Option<Peer>>);

impl Handler for Asked {
    type Body = Full<Bytes>;

    async fn handle(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        self.0.send(request.extensions().get().copied()).await.expect("somebody listens");
        Ok(Response::default())
    }
}

struct Running {
    address: SocketAddr,
    serving: Serving,
    asked: mpsc::Receiver<Option<Peer>>,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

/// A server with room for so many handshakes of such a length.
async fn running(at_once: usize, time: Duration) -> Running {
    let listener = TcpListener::bind("[::]:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (serving, stop) = (Serving::default(), CancellationToken::new());
    let mut tls = TlsListener::new(listener, serving.clone()).expect("TLS");
    tls.handshakes = Handshakes::new(at_once, time);
    let (sender, asked) = mpsc::channel(8);
    let server = tokio::spawn(serve(tls, Asked(sender), Ending::at(&stop, HEADER_TIME)));
    Running { address: SocketAddr::from(([127, 0, 0, 1], port)), serving, asked, stop, server }
}

/// A new certificate of `localhost`, which is its own authority.
fn certificate() -> (CertificateDer<'static>, Arc<CertifiedKey>) {
    let Issued { cert, signing_key } = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("issued");
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
    let key = CertifiedKey::from_der(vec![cert.der().clone()], key, &ring::default_provider()).expect("a pair");
    (cert.der().clone(), Arc::new(key))
}

/// A client that trusts these, and resumes sessions where it can.
fn client<'a>(trusted: impl IntoIterator<Item = &'a CertificateDer<'static>>, protocol: &[u8]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted.into_iter().cloned());
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    config.resumption = Resumption::in_memory_sessions(8);
    TlsConnector::from(Arc::new(config))
}

type Stream = tokio_rustls::client::TlsStream<TcpStream>;

async fn handshake(client: &TlsConnector, stream: TcpStream) -> io::Result<Stream> {
    timeout(HANG, client.connect(ServerName::try_from("localhost").expect("a name"), stream)).await?
}

async fn connect(client: &TlsConnector, address: SocketAddr) -> io::Result<Stream> {
    handshake(client, TcpStream::connect(address).await?).await
}

/// Connects from this address of loopback.
async fn connect_from(source: [u8; 4], address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from((source, 0))).expect("an address of loopback");
    socket.connect(address).await.expect("connected")
}

#[tokio::test]
async fn requests_carry_their_address_in_both_versions_of_http() {
    let (mut running, (trusted, key)) = (running(8, NEVER).await, certificate());
    running.serving.set(key);
    let peer = Some(Peer(IpAddr::from([127, 0, 0, 1])));

    let mut stream = connect(&client([&trusted], b"http/1.1"), running.address).await.expect("connected");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("written");
    assert_eq!(running.asked.recv().await, Some(peer));

    let stream = connect(&client([&trusted], b"h2"), running.address).await.expect("connected");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
    tokio::spawn(connection);
    let request = Request::get("https://localhost/").body(Full::<Bytes>::default()).expect("a request");
    let response = tokio::spawn(sender.send_request(request));
    assert_eq!(running.asked.recv().await, Some(peer));
    assert_eq!(response.await.expect("no panic").expect("an answer").status(), 200);
}

#[tokio::test]
async fn a_client_that_was_there_before_gets_the_new_certificate() {
    let (mut running, (first, first_key), (second, second_key)) =
        (running(8, NEVER).await, certificate(), certificate());
    let client = client([&first, &second], b"http/1.1");
    connect(&client, running.address).await.expect_err("no certificate yet");
    for (certificate, key) in [(&first, first_key), (&second, second_key)] {
        running.serving.set(key);
        let mut stream = connect(&client, running.address).await.expect("connected");
        assert_eq!(stream.get_ref().1.peer_certificates(), Some(&[certificate.clone()][..]));
        // With its answer a client has what it needs to resume the session.
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("written");
        running.asked.recv().await.expect("asked");
        stream.read_u8().await.expect("an answer");
    }
}

#[tokio::test]
async fn whoever_opens_handshakes_and_says_nothing_keeps_nobody_out() {
    const ROOM: usize = 8;
    let (running, (trusted, key)) = (running(ROOM, NEVER).await, certificate());
    running.serving.set(key);
    let client = client([&trusted], b"h2");

    let slow = TcpStream::connect(running.address).await.expect("connected");
    let mut silent = Vec::new();
    for _ in 0..ROOM * 3 {
        silent.push(connect_from([127, 0, 0, 2], running.address).await);
    }
    connect(&client, running.address).await.expect("a newcomer is let in");
    let same = connect_from([127, 0, 0, 2], running.address).await;
    handshake(&client, same).await.expect("also from the address of the silent ones");
    handshake(&client, slow).await.expect("who was slow before them is not pushed out");

    assert_eq!(
        timeout(HANG, silent[0].read(&mut [0])).await.expect("no hang").expect("closed"),
        0,
        "the oldest of them is gone"
    );
    let mut newest = silent.pop().expect("the newest of them");
    newest.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("written");
    let mut alert = Vec::new();
    newest.read_to_end(&mut alert).await.expect("an alert");
    assert_eq!(alert.first(), Some(&21), "the newest of them is still there, and HTTP without TLS gets a TLS alert");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_ends_when_it_takes_too_long() {
    let running = running(8, HEADER_TIME).await;
    let begun = Instant::now();
    for said in [&b""[..], &[22, 3, 1, 1, 0], b"GET / HTTP/1.1\r\n\r\n"] {
        let mut stream = TcpStream::connect(running.address).await.expect("connected");
        stream.write_all(said).await.expect("written");
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    assert!(begun.elapsed() < HEADER_TIME * 4, "{:?}", begun.elapsed());
    assert!(!running.server.is_finished());
}

#[tokio::test]
async fn the_server_ends_while_a_handshake_runs() {
    let running = running(8, NEVER).await;
    let mut silent = TcpStream::connect(running.address).await.expect("connected");
    running.stop.cancel();
    running.server.await.expect("ended");
    let _ = silent.read(&mut [0]).await;
    TcpStream::connect(running.address).await.expect_err("the port is free");
}
