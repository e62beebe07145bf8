//! A tentacle may answer anything.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};

use super::*;

/// Asks an engine that writes `head` and then `piece` again and again, for as long as somebody reads.
async fn asked(head: &'static str, piece: &'static str) -> impl Future<Output = Result<Answer, NoAnswer>> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/run", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut request = Vec::new();
        // What is left unread would turn the end of the answer into a reset.
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.expect("a request"));
        }
        stream.write_all(head.as_bytes()).await.expect("written");
        let pieces = piece.repeat(100);
        while !piece.is_empty() && stream.write_all(pieces.as_bytes()).await.is_ok() {}
    });
    let request = Request::post(url).body(Full::default()).expect("a request");
    async move { EngineClient::new().send(request, 1024).await }
}

#[tokio::test]
async fn what_never_becomes_an_answer_ends_with_the_time_of_the_caller() {
    for (head, piece) in [
        ("", "HTTP/1.1 100 Continue\r\n\r\n"),
        ("", "HTTP/1.1 103 Early Hints\r\nlink: </>; rel=preload\r\n\r\n"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", "extension;"),
    ] {
        let asked = asked(head, piece).await;
        // Whatever comes, others and the clock have their turn meanwhile.
        let answer = timeout(Duration::from_millis(300), asked).await;
        assert!(matches!(answer, Err(_) | Ok(Err(NoAnswer::Broken(_)))), "{head}{piece}: {answer:?}");
    }
}

#[tokio::test]
async fn what_is_no_http_is_no_answer() {
    for (head, piece) in [
        ("HTTP/1.1 200 OK\r\n", "x-padding: x\r\n"),
        ("HTTP/1.1 200 OK\r\nx-padding: ", "x"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}", ""),
        ("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}", ""),
        ("HTTP/1.1 200 OK\r\nx-folded: a\r\n b\r\n\r\n{}", ""),
        ("HTTP/2 200\r\n\r\n", ""),
        ("SSH-2.0-OpenSSH_9.9\r\n", ""),
        ("{}", ""),
    ] {
        let answer = asked(head, piece).await.await;
        assert!(matches!(answer, Err(NoAnswer::Broken(_))), "{head}{piece}: {answer:?}");
    }
}

#[tokio::test]
async fn what_an_answer_asks_for_is_not_done() {
    for (head, status, body) in [
        ("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nmore", 101, ""),
        ("HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic\r\ncontent-length: 0\r\n\r\n", 401, ""),
        ("HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n", 302, ""),
        ("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}", 200, "{}"),
        ("HTTP/1.0 200 OK\r\ncontent-type: text/html\r\n\r\n<script>", 200, "<script>"),
        (
            "HTTP/1.1 200 OK\r\nset-cookie: a=b\r\nrefresh: 0\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 500 No\r\n\r\n",
            200,
            "{}",
        ),
    ] {
        let answer = asked(head, "").await.await;
        assert_eq!(answer, Ok(Answer { status, body: body.into() }), "{head}");
    }
}
