//! Exchanges with sidecars on real sockets.

use std::{future::pending, path::Path};

use http_body_util::BodyExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tentacular_contract::{
    Identity, Policy, Question, evaluate,
    limits::{CALLS_AT_ONCE, CALLS_AT_ONCE_IN_A_SIDECAR},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
};

use super::*;
use crate::{
    audit::{Audit, tests::Log},
    edge::{Arrival, concurrency::Concurrency, headers::param_headers},
    sidecars::{Catalog, Offer, Reserved},
};

/// Bytes of an answer that nothing on the way keeps as a whole.
const FLOOD: usize = 8 << 20;

/// A sidecar that does with a call what its tool's name says.
struct Sidecar {
    catalog: Catalog,
    begun: Arc<Semaphore>,
    go_on: Arc<Semaphore>,
}

impl Sidecar {
    fn listen(folder: &Path, name: &str) -> Self {
        let path = folder.join(format!("{name}.sock"));
        let listener = UnixListener::bind(&path).expect("a socket");
        let (begun, go_on) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (begins, goes_on) = (Arc::clone(&begun), Arc::clone(&go_on));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&begins), Arc::clone(&goes_on)));
            }
        });
        Self { catalog: catalog(name, &path), begun, go_on }
    }

    fn call(&self, name: &str) -> Call {
        let tool = Arc::clone(self.catalog.find(name).expect("a tool"));
        Call {
            tool,
            name: name.to_owned(),
            headers: HeaderMap::from_iter([(HeaderName::from_static("mcp-name"), name.parse().expect("a value"))]),
            body: Bytes::from_static(b"{}"),
            id: "1".to_owned(),
            era: Era::Stateless,
        }
    }
}

fn catalog(sidecar: &str, path: &Path) -> Catalog {
    let tool = |name: &str| {
        json!({"name": name, "inputSchema": {"type": "object"},
            "annotations": {"readOnlyHint": name.ends_with("_read")},
            "_meta": {keys::AUTHZ_META: {"on": "caller", "needs": "read"}}})
    };
    let names = ["answers", "streams", "hangs", "hangs_read", "breaks", "floods"];
    let offer = Offer::of(sidecar, path, json!(names.map(tool)));
    Catalog::merge([&offer].into_iter(), &Reserved::new())
}

async fn serve(mut stream: UnixStream, begun: Arc<Semaphore>, go_on: Arc<Semaphore>) -> std::io::Result<()> {
    let mut request = String::new();
    loop {
        let mut bytes = [0; 4096];
        let read = stream.read(&mut bytes).await?;
        if read == 0 {
            return Ok(());
        }
        request += &String::from_utf8_lossy(&bytes[..read]);
        if !request.ends_with("\r\n\r\n{}") {
            continue;
        }
        begun.add_permits(1);
        let name = request.lines().find_map(|line| line.strip_prefix("mcp-name: ")).unwrap_or_default();
        let head = |length: usize| format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
        match name {
            "answers" => stream.write_all((head(2) + "{}").as_bytes()).await?,
            "streams" => {
                stream.write_all((head(4) + "be").as_bytes()).await?;
                go_on.acquire().await.expect("open").forget();
                stream.write_all(b"gun").await?;
            }
            "floods" => {
                stream.write_all(head(FLOOD).as_bytes()).await?;
                stream.write_all(&vec![b' '; FLOOD]).await?;
            }
            "breaks" => return stream.write_all((head(4) + "be").as_bytes()).await,
            _ => pending().await,
        }
        request.clear();
    }
}

/// The limit of one caller is not what is tested here.
fn callers(count: usize) -> impl Iterator<Item = Running> {
    let concurrency = Concurrency::default();
    (0..count).map(move |index| {
        let sub = Some((index / CALLS_AT_ONCE).to_string());
        concurrency.begin(&Caller::Oidc(Identity { sub, ..Identity::default() }), 0).expect("below the limit")
    })
}

fn record(audit: &Audit, call: &Call) -> Record {
    let mut record = audit.begin(Arrival::now(), &Caller::Bearer, Some(&call.name));
    record.tool(&call.tool);
    record
}

async fn forward(forwarder: &Forwarder, call: Call) -> BoxResponse {
    let running = callers(1).next().expect("one");
    let record = record(&Audit::default(), &call);
    forwarder.forward(call, record, running).await
}

async fn text(response: BoxResponse) -> Result<String, String> {
    let body = response.into_body().collect().await.map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned())
}

async fn sentence(response: BoxResponse) -> String {
    let json: Value = serde_json::from_str(&text(response).await.expect("whole")).expect("JSON");
    assert_eq!(json["result"]["isError"], true, "{json}");
    json["result"]["content"][0]["text"].as_str().expect("a text").to_owned()
}

#[tokio::test]
async fn a_full_sidecar_says_so_and_takes_nothing_from_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let (slow, other) = (Sidecar::listen(folder.path(), "slow"), Sidecar::listen(folder.path(), "other"));
    let forwarder = Forwarder::new();
    let mut answers = Vec::new();
    for running in callers(CALLS_AT_ONCE_IN_A_SIDECAR) {
        let call = slow.call("streams");
        let record = record(&Audit::default(), &call);
        answers.push(forwarder.forward(call, record, running).await);
    }
    assert_eq!(
        slow.begun.available_permits(),
        CALLS_AT_ONCE_IN_A_SIDECAR,
        "all have begun to answer, none has ended"
    );
    assert_eq!(text(forward(&forwarder, other.call("answers")).await).await.as_deref(), Ok("{}"));

    // Nothing else is going on: the wait for a place is over at once.
    tokio::time::pause();
    let refused = sentence(forward(&forwarder, slow.call("answers")).await).await;
    assert_eq!(refused, "the slow is busy with 128 calls, answers was not started; try again in a moment");
    tokio::time::resume();
    assert_eq!(slow.begun.available_permits(), CALLS_AT_ONCE_IN_A_SIDECAR, "it heard nothing of it");

    let waiting = tokio::spawn({
        let (forwarder, call) = (forwarder.clone(), slow.call("answers"));
        async move { text(forward(&forwarder, call).await).await }
    });
    slow.go_on.add_permits(1);
    assert_eq!(waiting.await.expect("answered").as_deref(), Ok("{}"), "the next one has its place");
    slow.go_on.add_permits(CALLS_AT_ONCE_IN_A_SIDECAR);
    for answer in answers {
        assert_eq!(text(answer).await.as_deref(), Ok("begu"));
    }
    forwarder.finished().await;
}

#[tokio::test]
async fn how_an_exchange_ends_is_in_its_record() {
    let (log, _guard) = Log::catch();
    let folder = tempfile::tempdir().expect("a folder");
    let sidecar = Sidecar::listen(folder.path(), "part");
    let mut gone = Sidecar::listen(folder.path(), "gone");
    gone.catalog = catalog("gone", &folder.path().join("none.sock"));
    let (forwarder, audit) = (Forwarder::new(), Audit::default());
    let send = async |call: Call| {
        let record = record(&audit, &call);
        forwarder.forward(call, record, callers(1).next().expect("one")).await
    };
    assert_eq!(text(send(sidecar.call("answers")).await).await.as_deref(), Ok("{}"));
    assert!(text(send(sidecar.call("breaks")).await).await.expect_err("cut").contains("ended while breaks ran"));
    tokio::time::pause();
    assert!(sentence(send(sidecar.call("hangs")).await).await.contains("took longer than its 30 s"));
    assert!(sentence(send(gone.call("answers")).await).await.contains("the gone is not available right now"));
    tokio::time::resume();
    sidecar.begun.try_acquire_many(3).expect("three calls").forget();
    tokio::select! {
        _ = send(sidecar.call("hangs_read")) => panic!("it answers"),
        begun = sidecar.begun.acquire() => begun.expect("open").forget(),
    }
    forwarder.finished().await;
    let results: Vec<_> = log.records().iter().map(|record| record["result"].clone()).collect();
    assert_eq!(json!(results), json!(["answered", "broken", "too-late", "away", "cancelled"]));
}

#[tokio::test]
async fn an_answer_that_its_caller_does_not_read_is_cut_at_the_deadline() {
    let (log, _guard) = Log::catch();
    let folder = tempfile::tempdir().expect("a folder");
    let (sidecar, forwarder) = (Sidecar::listen(folder.path(), "part"), Forwarder::new());
    let concurrency = Concurrency::default();
    let begin = || concurrency.begin(&Caller::Bearer, 0);
    let call = sidecar.call("floods");
    let record = record(&Audit::default(), &call);
    let answer = forwarder.forward(call, record, begin().expect("the first")).await;
    tokio::time::pause();
    sleep(Duration::from_secs(31)).await;
    tokio::time::resume();
    forwarder.finished().await;
    assert_eq!(log.records()[0]["result"], "unread");
    let others: Vec<_> = std::iter::from_fn(|| begin().ok()).collect();
    assert_eq!(others.len(), CALLS_AT_ONCE - 1, "what is left of it still counts");
    let (mut body, mut kept) = (answer.into_body(), 0);
    let end = loop {
        match body.frame().await.expect("a part of it is not the whole") {
            Ok(frame) => kept += frame.into_data().expect("data").len(),
            Err(error) => break error.to_string(),
        }
    };
    assert!(end.contains("took longer than its 30 s"), "{end}");
    assert!(kept <= 512 * 1024, "{kept} bytes of it were kept in memory");
    drop(body);
    assert!(begin().is_ok(), "nobody waits for it any more");
}

#[test]
fn a_call_that_the_process_cuts_at_its_end_is_recorded() {
    let (log, _guard) = Log::catch();
    let folder = TempDir::new().expect("a folder");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (sidecar, forwarder) = (Sidecar::listen(folder.path(), "part"), Forwarder::new());
        // A write goes on when its caller leaves.
        tokio::select! {
            _ = forward(&forwarder, sidecar.call("hangs")) => panic!("it answers"),
            begun = sidecar.begun.acquire() => begun.expect("open").forget(),
        }
        tokio::task::yield_now().await;
    });
    assert!(log.records().is_empty(), "it runs");
    drop(runtime);
    let records = log.records();
    assert_eq!((records.len(), &records[0]["result"]), (1, &json!("cut")));
}

#[test]
fn a_sidecar_sees_the_headers_of_the_list_and_what_its_tool_declares() {
    let schema = json!({"properties": {"region": {"type": "string", "x-mcp-header": "Region"}}});
    let params = param_headers(schema.as_object().expect("a schema"));
    let mut client = HeaderMap::new();
    for (name, value) in [
        ("authorization", "Bearer x"),
        ("cookie", "a=b"),
        ("host", "evil.example.com"),
        ("content-type", "application/json; charset=utf-8"),
        ("mcp-name", "tool"),
        ("mcp-param-region", "eu"),
        ("mcp-param-enclave", "team-a"),
        ("mcp-session-id", "1"),
        ("tentacular-permit", "forged"),
        ("tentacular-caller", "forged"),
        ("traceparent", "00-1"),
        ("x-request-id", "2"),
    ] {
        client.append(name, value.parse().expect("a value"));
    }
    let authz = tentacular_contract::Authz::new(tentacular_contract::On::Caller, tentacular_contract::Needs::Read);
    let question = Question {
        caller: &Caller::Bearer,
        policy: Policy::default(),
        tool: "tool",
        authz: &authz,
        enclave: None,
        tentacle: None,
    };
    let permit = evaluate(&question).expect("permitted");
    let headers = sidecar_headers(&client, &params, &Caller::Bearer, &permit);
    let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "content-type",
            "host",
            "mcp-name",
            "mcp-param-region",
            "tentacular-caller",
            "tentacular-permit",
            "traceparent"
        ]
    );
    let permit = permit.to_header();
    for (name, value) in
        [("host", "localhost"), ("content-type", "application/json"), ("tentacular-permit", permit.as_str())]
    {
        assert_eq!(headers[name], value);
    }
}

#[test]
fn of_a_sidecars_headers_the_client_sees_the_kinds_of_its_content_alone() {
    let mut answered = Response::new(());
    for name in ["content-type", "cache-control", "x-accel-buffering", "set-cookie", "access-control-allow-origin"] {
        answered.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static("x"));
    }
    let (parts, ()) = answered.into_parts();
    let answer = Answer { data: mpsc::channel(1).1, end: oneshot::channel().1 };
    let mut seen: Vec<_> = outward(&parts, answer).headers().keys().map(ToString::to_string).collect();
    seen.sort();
    assert_eq!(seen, ["cache-control", "content-type", "x-accel-buffering"]);
}
