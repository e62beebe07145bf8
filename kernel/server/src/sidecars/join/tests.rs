//! Sidecars on real sockets that list what they like.

use std::{convert::Infallible, io};

use http::Response;
use hyper::body::Incoming;
use tentacular_process::http::{Accept, Ending, Handler, Peer, serve};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use super::*;

/// A sidecar of the right contract with this answer to `tools/list`.
#[derive(Clone)]
struct Sidecar(Value);

impl Handler for Sidecar {
    type Body = Full<Bytes>;

    async fn handle(&self, request: Request<Incoming>) -> Result<Response<Self::Body>, Infallible> {
        let list = request.headers()["mcp-method"] == "tools/list";
        let discovery = || json!({ "_meta": { keys::CONTRACT_META: keys::CONTRACT_VERSION } });
        let result = if list { self.0.clone() } else { discovery() };
        let answer = json!({ "jsonrpc": "2.0", "id": 1, "result": result }).to_string();
        Ok(Response::new(Full::new(answer.into())))
    }
}

struct Socket(UnixListener);

impl Accept for Socket {
    type Io = UnixStream;

    async fn accept(&mut self) -> io::Result<(UnixStream, Option<Peer>)> {
        Ok((self.0.accept().await?.0, None))
    }
}

async fn joined(list: Value) -> Result<Introduced, NotJoined> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("part.sock");
    let socket = Socket(UnixListener::bind(&path).expect("a socket"));
    let end = CancellationToken::new();
    tokio::spawn(serve(socket, Sidecar(list), Ending::at(&end, Duration::ZERO)));
    let joined = join(&path, None).await;
    end.cancel();
    joined
}

fn tool(name: &str) -> Value {
    json!({ "name": name, "inputSchema": { "type": "object" } })
}

#[tokio::test]
async fn a_list_of_another_shape_is_refused_and_harms_nobody() {
    for list in [
        json!([]),
        json!("tools"),
        json!(7),
        json!({}),
        json!({ "tools": {} }),
        json!({ "tools": [7], "nextCursor": 7 }),
    ] {
        let error = joined(list.clone()).await.expect_err("no list").to_string();
        assert!(error.starts_with("it answered tools/list with "), "{list}: {error}");
    }
}

#[tokio::test]
async fn what_is_no_tool_is_left_out_and_the_others_join() {
    let list = json!({ "tools": [7, tool("one"), { "name": "two" }, tool("three")] });
    let tools = joined(list).await.expect("a list").tools;
    assert_eq!(tools.iter().map(|tool| &*tool.name).collect::<Vec<_>>(), ["one", "three"]);
}

#[tokio::test]
async fn a_list_without_an_end_is_not_read() {
    let endless = json!({ "tools": [tool("one")], "nextCursor": "again" });
    let many = json!({ "tools": vec![tool("one"); TOOLS + 1] });
    for list in [endless, many] {
        let error = joined(list).await.expect_err("too long").to_string();
        assert!(error.contains("more than"), "{error}");
    }
}

#[test]
fn a_minor_more_or_less_works_both_ways_and_another_major_does_not() {
    for (ours, theirs) in [("1.0", "1.0"), ("1.0", "1.1"), ("1.1", "1.0"), ("1.0", "1.12"), ("1.12", "1.0")] {
        assert!(same_major(ours, theirs), "{ours} {theirs}");
    }
    for theirs in ["", "1", "2.0", "0.9", "10.0", "v1.0", "1.", "1.0.0", "1.x"] {
        assert!(!same_major("1.0", theirs), "{theirs}");
    }
}
