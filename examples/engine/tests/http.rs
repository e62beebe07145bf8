//! The engine on a loopback port answers in the shapes of the real one.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::{Value, json};
use tokio::net::TcpListener;

async fn engine() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(tentacular_example_engine::serve(listener));
    address
}

async fn send(engine: SocketAddr, method: Method, path: &str, body: &str) -> (StatusCode, Bytes) {
    let request = Request::builder()
        .method(method)
        .uri(format!("http://{engine}{path}"))
        .header("Tentacular-Run-Id", "r1")
        .body(Full::new(Bytes::from(body.to_owned())))
        .expect("a request");
    let answer = Client::builder(TokioExecutor::new()).build_http().request(request).await.expect("an answer");
    let status = answer.status();
    (status, answer.into_body().collect().await.expect("a body").to_bytes())
}

async fn json_of(engine: SocketAddr, method: Method, path: &str, body: &str) -> (StatusCode, Value) {
    let (status, body) = send(engine, method, path, body).await;
    (status, serde_json::from_slice(&body).expect("JSON"))
}

#[tokio::test]
async fn a_run_counts_words() {
    let engine = engine().await;
    let (status, report) = json_of(engine, Method::POST, "/team-a/words/run", r#"{"text": "one two two"}"#).await;
    assert_eq!((status, &report["success"]), (StatusCode::OK, &json!(true)));
    assert_eq!(report["outputs"]["split"]["words"], json!(["one", "two", "two"]));
    assert_eq!(report["outputs"]["count"]["distinct"], 2);
    assert_eq!(report["outputs"]["metadata"]["runId"], "r1");
    assert_eq!(report["errors"], json!({}));
    assert!(report["timing"]["completedAt"].as_u64() >= report["timing"]["startedAt"].as_u64());
    assert!(report["timing"]["nodeTimings"]["split"].is_u64());
}

#[tokio::test]
async fn what_is_no_json_counts_as_empty() {
    let engine = engine().await;
    for (method, body) in [(Method::POST, "{"), (Method::POST, ""), (Method::GET, ""), (Method::POST, "[1]")] {
        let (status, report) = json_of(engine, method, "/run", body).await;
        assert_eq!((status, &report["outputs"]["count"]["words"]), (StatusCode::OK, &json!(0)), "{body}");
    }
}

#[tokio::test]
async fn each_tentacle_has_its_own_counters() {
    let engine = engine().await;
    let input = r#"{"fail": "no luck", "trigger": "nightly"}"#;
    let (status, report) = json_of(engine, Method::POST, "/a/x/run", input).await;
    assert_eq!((status, &report["success"]), (StatusCode::INTERNAL_SERVER_ERROR, &json!(false)));
    assert_eq!(report["errors"], json!({ "count": "no luck" }));
    let (_, health) = json_of(engine, Method::GET, "/a/x/health?detail=1", "").await;
    assert_eq!((&health["lastRunFailed"], &health["lastError"]), (&json!(true), &json!("no luck")));
    assert_eq!(
        (&health["totalEvents"], &health["errorRate"], &health["inFlight"]),
        (&json!(1), &json!(1.0), &json!(0))
    );
    let told = &health["recentEvents"][0];
    assert_eq!(
        (&told["runId"], &told["trigger"], &told["success"]),
        (&json!("r1"), &json!("nightly"), &json!(false))
    );
    let (_, health) = json_of(engine, Method::GET, "/a/y/health?detail=1", "").await;
    assert_eq!((&health["totalEvents"], &health["lastError"]), (&json!(0), &Value::Null));
    let (_, health) = json_of(engine, Method::GET, "/a/x/health", "").await;
    assert_eq!(health, json!({ "status": "ok" }));
}

#[tokio::test]
async fn a_run_in_flight_is_told() {
    let engine = engine().await;
    let run = tokio::spawn(send(engine, Method::POST, "/a/x/run", r#"{"sleep_ms": 60000}"#));
    let in_flight = async || json_of(engine, Method::GET, "/a/x/health?detail=1", "").await.1["inFlight"].clone();
    while in_flight().await != 1 {
        tokio::task::yield_now().await;
    }
    run.abort();
    while in_flight().await != 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_answer_has_the_size_that_is_asked_for() {
    let engine = engine().await;
    let (status, body) = send(engine, Method::POST, "/a/x/run", r#"{"echo_bytes": 70000}"#).await;
    assert_eq!((status, body.len()), (StatusCode::OK, 70_000));
}

#[tokio::test]
async fn anything_else_is_not_found() {
    let engine = engine().await;
    for (method, path) in [
        (Method::GET, "/"),
        (Method::GET, "/a/run"),
        (Method::GET, "/a/x/y/run"),
        (Method::GET, "//x/run"),
        (Method::GET, "/a/x/stop"),
        (Method::POST, "/a/x/health"),
        (Method::DELETE, "/a/x/run"),
    ] {
        assert_eq!(send(engine, method.clone(), path, "").await.0, StatusCode::NOT_FOUND, "{method} {path}");
    }
}
