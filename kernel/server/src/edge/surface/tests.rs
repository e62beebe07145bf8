//! The prepared answers against rmcp's own.

use std::path::Path;

use http::{
    HeaderMap, HeaderName, Method,
    header::{ACCEPT, CONTENT_TYPE, HOST},
};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tentacular_contract::keys;
use tentacular_process::link::envelope::Envelope;

use super::*;
use crate::{
    refusal::Told,
    sidecars::{Offer, Reserved},
};

fn surface() -> Surface {
    let tool = |name: &str| {
        json!({"name": name, "title": "Ein Werkzeug: größer", "inputSchema": {"type": "object", "properties": {
            "n": {"type": "integer", "minimum": -0.5}}}, "annotations": {"readOnlyHint": true},
            "_meta": {keys::AUTHZ_META: {"on": "caller", "needs": "read"}, "com.example/other": [1, null]}})
    };
    let offer = Offer::of("part", Path::new("/nowhere"), json!([tool("one"), tool("two")]));
    let catalog = Catalog::merge([&offer].into_iter(), &Reserved::new());
    Surface::new(Registry::fixed(catalog), CancellationToken::new())
}

fn meta() -> Value {
    json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {"roots": {}, "elicitation": {}},
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"}})
}

/// A request as a client of the era writes it.
fn request(era: Era, method: &str, params: Option<Value>, id: &str) -> (HeaderMap, Bytes) {
    let mut headers = HeaderMap::from_iter([
        (ACCEPT, "application/json, text/event-stream".parse().expect("a value")),
        (CONTENT_TYPE, "application/json".parse().expect("a value")),
        (HOST, "localhost".parse().expect("a value")),
    ]);
    let params = match era {
        Era::Handshake => params,
        Era::Stateless => {
            headers.insert("mcp-protocol-version", "2026-07-28".parse().expect("a value"));
            headers.insert("mcp-method", method.parse().expect("a value"));
            let mut params = params.unwrap_or_else(|| json!({}));
            params["_meta"] = meta();
            Some(params)
        }
    };
    let params = params.map_or_else(String::new, |params| format!(r#","params":{params}"#));
    let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}"{params}}}"#);
    (headers, body.into())
}

/// What was prepared for the request, and what rmcp says to it.
async fn both(surface: &Surface, (headers, body): (HeaderMap, Bytes)) -> (Option<Value>, Value) {
    let envelope = Envelope::parse(&body).expect("a message");
    let id = envelope.id.expect("an id");
    let message = Message::new(envelope, id, &headers, &body);
    let prepared = surface.prepared(&message).expect("served");
    let mut request = Request::new(Full::new(body.clone()));
    *request.method_mut() = Method::POST;
    *request.headers_mut() = headers.clone();
    let response = surface.handle(request).await;
    let is_json = response.headers()[CONTENT_TYPE] == "application/json";
    let theirs = response.into_body().collect().await.expect("a body").to_bytes();
    assert!(is_json, "{}", String::from_utf8_lossy(&theirs));
    let ours = match prepared {
        Some(prepared) => Some(prepared.collect().await.expect("a body").to_bytes()),
        None => None,
    };
    let json = |bytes: &[u8]| serde_json::from_slice(bytes).expect("JSON");
    (ours.as_deref().map(json), json(&theirs))
}

#[tokio::test]
async fn a_prepared_answer_is_what_rmcp_answers() {
    let surface = surface();
    for (era, method) in [
        (Era::Stateless, "server/discover"),
        (Era::Stateless, "tools/list"),
        (Era::Handshake, "tools/list"),
        (Era::Handshake, "ping"),
    ] {
        for params in [None, Some(json!({}))] {
            for id in ["1", "-9223372036854775808", r#""a""#, r#""\u00e9\"\\\ud83d\ude00""#, r#""""#] {
                let (prepared, theirs) = both(&surface, request(era, method, params.clone(), id)).await;
                assert_eq!(prepared.as_ref(), Some(&theirs), "{era:?} {method} {params:?} {id}");
                assert!(theirs["result"].is_object(), "{theirs}");
            }
        }
        for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
            if era == Era::Handshake {
                let (mut headers, body) = request(era, method, None, "1");
                headers.insert("mcp-protocol-version", version.parse().expect("a value"));
                let (prepared, theirs) = both(&surface, (headers, body)).await;
                assert_eq!(prepared.as_ref(), Some(&theirs), "{method} {version}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_unusual_is_left_to_rmcp() {
    let surface = surface();
    let progress = json!({"_meta": {"progressToken": 1}});
    for (era, method, params, answered) in [
        (Era::Stateless, "tools/list", json!({"cursor": "x"}), false),
        (Era::Stateless, "tools/list", json!({"cursor": null}), true),
        (Era::Stateless, "tools/list", json!({"cursor": 5}), true),
        (Era::Stateless, "tools/list", json!({"other": 1}), true),
        (Era::Handshake, "tools/list", progress.clone(), true),
        (Era::Handshake, "ping", progress, true),
        (Era::Stateless, "ping", json!({}), false),
        (Era::Stateless, "subscriptions/listen", json!({"notifications": {}}), true),
    ] {
        if method == "subscriptions/listen" {
            // Its answer is a stream without end.
            let (headers, body) = request(era, method, Some(params), "1");
            let envelope = Envelope::parse(&body).expect("a message");
            let id = envelope.id.expect("an id");
            let prepared = surface.prepared(&Message::new(envelope, id, &headers, &body));
            assert!(prepared.expect("served").is_none());
            continue;
        }
        let (prepared, theirs) = both(&surface, request(era, method, Some(params.clone()), "1")).await;
        assert_eq!(prepared, None, "{era:?} {method} {params}");
        assert_eq!(theirs["result"].is_object(), answered, "{era:?} {method} {params}: {theirs}");
    }
    let (_, listed) =
        both(&surface, request(Era::Handshake, "tools/list", Some(json!({"_meta": {"progressToken": 1}})), "1"))
            .await;
    assert_eq!(listed["result"].as_object().expect("a result").keys().collect::<Vec<_>>(), ["tools"]);
}

#[test]
fn what_is_not_served_or_not_rightly_asked_for_is_refused() {
    let surface = surface();
    let code = |change: &dyn Fn(&mut HeaderMap), method: &str, params: Value| {
        let (mut headers, body) = request(Era::Stateless, method, Some(params), "1");
        change(&mut headers);
        let envelope = Envelope::parse(&body).expect("a message");
        let id = envelope.id.expect("an id");
        match surface.prepared(&Message::new(envelope, id, &headers, &body)).map_err(|refusal| refusal.told) {
            Err(Told::Error(error) | Told::Malformed(error)) => error.code.0,
            other => panic!("{method}: {other:?}"),
        }
    };
    let method: HeaderName = "mcp-method".parse().expect("a name");
    assert_eq!(code(&|_| {}, "tasks/list", json!({})), -32601);
    assert_eq!(code(&|_| {}, "subscriptions/listen", json!({})), -32602);
    assert_eq!(code(&|_| {}, "tools/list", json!({ "other": "x".repeat(REQUEST_BYTES) })), -32600);
    assert_eq!(code(&|headers| drop(headers.remove(&method)), "server/discover", json!({})), -32020);
    assert_eq!(code(&|headers| drop(headers.remove("mcp-protocol-version")), "server/discover", json!({})), -32020);
}
