//! Both ends of the link against each other: a sidecar on a real socket, called as the kernel calls it.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use ::http::{Method, Request};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tempfile::TempDir;
use tentacular_contract::{
    Authz, Caller, EnclaveName, Needs, On, Place, Policy, Question, evaluate,
    facts::Enclave,
    keys,
    limits::{CALLS_AT_ONCE_IN_A_SIDECAR, SIDECAR_PATIENCE},
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

use super::{
    LinkArgs, Permitted, Sidecar, ToolError, ToolSpec,
    client::{LinkClient, LinkError},
};
use crate::Context;

/// How long something may take that takes no time.
const PATIENCE: Duration = Duration::from_mins(2);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    #[serde(default)]
    times: u32,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    enclave: String,
    times: u32,
}

/// What the handlers did.
#[derive(Debug, Default)]
struct Seen {
    begun: Notify,
    go_on: Notify,
    finished: AtomicU32,
    ended: Notify,
}

/// Tells that a handler is no more, whether it finished or was cancelled.
struct Ending(Arc<Seen>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.ended.notify_one();
    }
}

struct Link {
    client: LinkClient,
    seen: Arc<Seen>,
    folder: TempDir,
}

fn authz() -> Authz {
    Authz::new(On::Enclave, Needs::Read).enclave_at(&["/enclave"])
}

async fn wait(seen: Arc<Seen>, call: Permitted) -> Result<Output, ToolError> {
    let _ending = Ending(Arc::clone(&seen));
    seen.begun.notify_one();
    seen.go_on.notified().await;
    seen.finished.fetch_add(1, Ordering::SeqCst);
    Ok(Output { enclave: call.enclave()?.to_string(), times: 1 })
}

fn sidecar(seen: &Arc<Seen>) -> Sidecar {
    let spec = |name| ToolSpec::new(name, "A Tool", "For tests.", authz());
    let (reads, writes) = (Arc::clone(seen), Arc::clone(seen));
    Sidecar::new("part")
        .tool(spec("say").read_only().aliases(&["tell"]), |call: Permitted, input: Input| async move {
            for time in 0..input.times {
                call.progress(f64::from(time), None, "on it").await;
            }
            Ok(Output { enclave: call.enclave()?.to_string(), times: input.times })
        })
        .tool(
            spec("read"),
            |_: Permitted, _: Input| async move { Err::<Output, _>(ToolError::new("try that instead")) },
        )
        .tool(spec("panic"), |call: Permitted, _: Input| async move {
            assert!(call.enclave().is_err(), "a defect");
            Err::<Output, _>(ToolError::new("never"))
        })
        .tool(spec("slow_read").read_only(), move |call, _: Input| wait(Arc::clone(&reads), call))
        .tool(spec("slow_write"), move |call, _: Input| wait(Arc::clone(&writes), call))
}

impl Link {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let seen = Arc::<Seen>::default();
        let args = LinkArgs { run_dir: folder.path().to_owned(), kernel_uid: None };
        let part = sidecar(&seen);
        tokio::spawn(async move { part.serve(args, &Context::alone()).await });
        let path: PathBuf = folder.path().join("part.sock");
        Self { client: LinkClient::new(&path, None), seen, folder }
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> (String, String) {
        let response = loop {
            match timeout(PATIENCE, self.client.send(request.clone())).await.expect("an answer in time") {
                Err(LinkError::NotConnected { .. }) => tokio::task::yield_now().await,
                answered => break answered.expect("an answer"),
            }
        };
        let kind = response.headers()["content-type"].to_str().expect("a text").to_owned();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (kind, String::from_utf8(body.to_vec()).expect("a text"))
    }

    async fn call(&self, request: Request<Full<Bytes>>) -> Value {
        serde_json::from_str(&self.send(request).await.1).expect("JSON")
    }
}

fn permit(tool: &str) -> String {
    let name: EnclaveName = "team-a".parse().expect("a name");
    let pairs = |key: &str, value: &str| [(key.to_owned(), value.to_owned())].into();
    let enclave = Enclave::from_metadata(
        "team-a",
        &pairs(keys::MANAGED_BY, keys::TENTACULAR),
        &pairs(keys::ENCLAVE, "team-a"),
        false,
    )
    .expect("an enclave");
    let question = Question {
        caller: &Caller::Bearer,
        policy: Policy::default(),
        tool,
        authz: &authz(),
        enclave: Some((&name, Place::Enclave(&enclave))),
        tentacle: None,
    };
    evaluate(&question).expect("a permit").to_header()
}

/// A call as the kernel forwards it, in the era without a handshake.
fn request(tool: &str, arguments: &Value, permit: Option<&str>) -> Request<Full<Bytes>> {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "progressToken": 7,
    });
    let params = json!({ "name": tool, "arguments": arguments, "_meta": meta });
    let mut request = legacy_request(&params, permit);
    for (name, value) in [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", tool)] {
        request.headers_mut().insert(name, value.parse().expect("a value"));
    }
    request
}

fn legacy_request(params: &Value, permit: Option<&str>) -> Request<Full<Bytes>> {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string();
    let mut request = Request::builder()
        .method(Method::POST)
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream");
    if let Some(permit) = permit {
        request = request.header(keys::PERMIT_HEADER, permit).header(keys::CALLER_HEADER, Caller::Bearer.to_header());
    }
    request.body(Full::new(body.into())).expect("a request")
}

#[tokio::test]
async fn a_permitted_call_is_answered_in_both_eras_and_by_its_alias() {
    let link = Link::start();
    for name in ["say", "tell"] {
        let answer = link.call(request(name, &json!({}), Some(&permit(name)))).await;
        assert_eq!(answer["result"]["structuredContent"], json!({ "enclave": "team-a", "times": 0 }), "{answer}");
        assert_eq!(answer["result"]["resultType"], "complete");
        let params = json!({ "name": name, "arguments": {} });
        let answer = link.call(legacy_request(&params, Some(&permit(name)))).await;
        assert_eq!(answer["result"]["content"][0]["text"], r#"{"enclave":"team-a","times":0}"#, "{answer}");
        assert_eq!(answer["result"].get("resultType"), None, "a member that this era does not know");
    }
}

#[tokio::test]
async fn without_its_own_permit_no_handler_is_reached() {
    let link = Link::start();
    for (permit, expected) in [
        (None, "tentacular-caller must be there once"),
        (Some(permit("read")), "the permit is for tool \"read\""),
        (Some("e30".to_owned()), "malformed header"),
    ] {
        let answer = link.call(request("slow_write", &json!({}), permit.as_deref())).await;
        assert_eq!(answer["error"]["code"], -32600, "{answer}");
        assert!(answer["error"]["message"].as_str().is_some_and(|text| text.contains(expected)), "{answer}");
    }
}

#[tokio::test]
async fn headers_that_stand_twice_are_nobodys_permit() {
    let link = Link::start();
    for key in [keys::PERMIT_HEADER, keys::CALLER_HEADER] {
        let mut request = request("say", &json!({}), Some(&permit("say")));
        let value = request.headers()[key].clone();
        request.headers_mut().append(key, value);
        let answer = link.call(request).await;
        assert_eq!(answer["error"]["code"], -32600, "{answer}");
    }
}

#[tokio::test]
async fn progress_comes_before_the_result_on_the_same_stream() {
    let link = Link::start();
    let (kind, text) = link.send(request("say", &json!({ "times": 2 }), Some(&permit("say")))).await;
    assert_eq!(kind, "text/event-stream");
    let messages: Vec<Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .filter_map(|data| serde_json::from_str(data).ok())
        .collect();
    assert_eq!(messages.len(), 3, "{text}");
    assert_eq!(messages[1]["params"], json!({ "progressToken": 7, "progress": 1.0, "message": "on it" }));
    assert_eq!(messages[2]["result"]["structuredContent"]["times"], 2);
}

#[tokio::test]
async fn errors_are_sentences_and_a_panic_ends_one_call_alone() {
    let link = Link::start();
    for (tool, arguments, expected) in [
        ("read", json!({}), "try that instead"),
        ("say", json!({ "times": "two" }), "invalid arguments: times: invalid type: string, expected u32"),
        (
            "say",
            json!({ "times": "secret\", expected x" }),
            "invalid arguments: times: invalid type: string, expected u32",
        ),
        ("say", json!({ "often": 2 }), "unknown field `often`"),
        ("panic", json!({}), "internal error"),
        ("read", json!({}), "try that instead"),
    ] {
        let answer = link.call(request(tool, &arguments, Some(&permit(tool)))).await;
        assert_eq!(answer["result"]["isError"], true, "{answer}");
        let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_default();
        assert!(text.contains(expected), "{text}");
    }
}

#[tokio::test]
async fn a_caller_who_leaves_ends_a_read_and_never_a_write() {
    let link = Link::start();
    for tool in ["slow_read", "slow_write"] {
        let permit = permit(tool);
        let call = link.send(request(tool, &json!({}), Some(&permit)));
        tokio::select! {
            answer = call => panic!("answered: {answer:?}"),
            () = link.seen.begun.notified() => {}
        }
        // The call is dropped, and with it its connection.
        if tool == "slow_read" {
            timeout(PATIENCE, link.seen.ended.notified()).await.expect("the read ends with its caller");
        }
    }
    link.seen.go_on.notify_one();
    timeout(PATIENCE, link.seen.ended.notified()).await.expect("the write goes on");
    assert_eq!(link.seen.finished.load(Ordering::SeqCst), 1, "the write alone finished");
}

#[tokio::test]
async fn a_socket_that_nobody_serves_is_told_from_a_connection_that_broke() {
    let link = Link::start();
    let nowhere = LinkClient::new(&link.folder.path().join("none.sock"), None);
    let error = nowhere.send(request("say", &json!({}), None)).await.expect_err("nobody there");
    assert!(matches!(error, LinkError::NotConnected { .. }), "{error}");
    let other_uid = LinkClient::new(&link.folder.path().join("part.sock"), Some(u32::MAX - 1));
    let error = other_uid.send(request("say", &json!({}), None)).await.expect_err("another uid");
    assert!(matches!(error, LinkError::NotConnected { .. }), "{error}");

    let listener = tokio::net::UnixListener::bind(link.folder.path().join("cut.sock")).expect("a socket");
    let cut = LinkClient::new(&link.folder.path().join("cut.sock"), None);
    let attempts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&attempts);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut first = [0; 1];
            stream.readable().await.expect("bytes");
            let _ = stream.try_read(&mut first);
        }
    });
    let error = cut.send(request("say", &json!({}), None)).await.expect_err("cut");
    assert!(matches!(error, LinkError::Broken { .. }), "{error}");
    assert_eq!(attempts.load(Ordering::SeqCst), 1, "what was begun is not sent again");
}

#[tokio::test(start_paused = true)]
async fn a_sidecar_has_so_many_places_and_who_waits_for_one_gets_it() {
    let client = LinkClient::new(&PathBuf::from("/nowhere"), None);
    let mut places = Vec::new();
    for _ in 0..CALLS_AT_ONCE_IN_A_SIDECAR {
        places.push(client.place().await.expect("a place"));
    }
    let begun = Instant::now();
    assert!(matches!(client.clone().place().await, Err(LinkError::Busy { .. })), "clones share the places");
    assert_eq!(begun.elapsed(), SIDECAR_PATIENCE);
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.place().await.map(drop) }
    });
    tokio::task::yield_now().await;
    places.pop();
    waiting.await.expect("waited").expect("the place that became free");
    assert_eq!(begun.elapsed(), SIDECAR_PATIENCE, "nobody waits longer than for a place");
    drop(client.place().await.expect("and it is free again"));
}
