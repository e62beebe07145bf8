//! Messages that are no ordinary request: each is answered as JSON-RPC and the era's specification say.

use serde_json::{Value, json};
use tentacular_test_harness::mcp::Era;

use crate::{
    hand_made::{HandMade, tool},
    support::{guests, until_listed},
    wire::{ERAS, Message},
};

#[tokio::test]
async fn a_method_that_is_not_served_is_not_found() -> anyhow::Result<()> {
    let raw = guests().await?.raw();
    for method in [
        "tasks/get",
        "tasks/result",
        "tasks/update",
        "tasks/cancel",
        "resources/list",
        "prompts/get",
        "logging/setLevel",
        "completion/complete",
        "tools/Call",
        "tools/call ",
        "notifications/initialized",
        "rpc.discover",
        "",
    ] {
        for (era, status) in [(Era::Handshake, 200), (Era::Stateless, 404)] {
            // A header value cannot end with a space.
            if method.ends_with(' ') && era == Era::Stateless {
                continue;
            }
            let answer = Message::new(era, method, json!({})).post(&raw).await?;
            assert_eq!((answer.status, answer.error_code()), (status, -32601), "{era:?} {method:?}: {}", answer.text);
            assert_eq!(answer.json()["id"], 1);
        }
    }
    let ping = Message::new(Era::Handshake, "ping", json!({})).post(&raw).await?;
    assert_eq!(ping.json()["result"], json!({}), "{}", ping.text);
    let removed = Message::new(Era::Stateless, "ping", json!({})).post(&raw).await?;
    assert_eq!((removed.status, removed.error_code()), (404, -32601), "{}", removed.text);
    Ok(())
}

#[tokio::test]
async fn a_body_that_is_no_single_message_is_refused() -> anyhow::Result<()> {
    let raw = guests().await?.raw();
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    for (body, code) in [
        (String::new(), -32700),
        (" \r\n".to_owned(), -32700),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,".to_owned(), -32700),
        (format!("{ping}{ping}"), -32700),
        (format!("{ping}\n{ping}"), -32700),
        (format!("\u{feff}{ping}"), -32700),
        (ping.replace('"', "'"), -32700),
        (format!("[{ping},{ping}]"), -32600),
        (format!("[{ping}]"), -32600),
        ("\"ping\"".to_owned(), -32600),
        ("1".to_owned(), -32600),
        ("null".to_owned(), -32600),
        (ping.replace("2.0", "1.0"), -32600),
        (ping.replace("\"2.0\"", "2.0"), -32600),
        (r#"{"id":1,"method":"ping"}"#.to_owned(), -32600),
        (ping.replace("\"ping\"", "7"), -32600),
        (ping.replace("\"ping\"", "null"), -32600),
        (format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000)), -32600),
    ] {
        for era in ERAS {
            let answer = Message::written(era, "ping", None, body.clone()).post(&raw).await?;
            let shown: String = body.chars().take(60).collect();
            assert_eq!((answer.status, answer.error_code()), (400, code), "{era:?} {shown}: {}", answer.text);
        }
    }
    let latin =
        raw.request(reqwest::Method::POST).body(&b"{\"jsonrpc\":\"2.0\",\"id\":\"\xe4\",\"method\":\"ping\"}"[..]);
    let answer = latin.send().await?;
    assert_eq!(answer.status(), 400, "JSON is UTF-8");
    assert_eq!(answer.json::<Value>().await?["error"]["code"], -32700);
    Ok(())
}

#[tokio::test]
async fn an_id_comes_back_as_it_was_written() -> anyhow::Result<()> {
    let stack = guests().await?;
    let _sidecar = HandMade::listen(&stack.run_dir(), "ids", [tool("id_tool")], |call| async {
        call.content(&json!({})).await
    })?;
    until_listed(stack, "id_tool", true).await?;
    for id in [
        json!("a"),
        json!(""),
        json!("1"),
        json!("\u{0}\u{2028}😀\"\\"),
        json!(0),
        json!(-1),
        json!(i64::MAX),
        json!(i64::MIN),
    ] {
        for era in ERAS {
            let params = json!({ "name": "id_tool", "arguments": {} });
            for (method, params) in
                [("tools/list", json!({})), ("server/discover", json!({})), ("tools/call", params)]
            {
                if (era, method) == (Era::Handshake, "server/discover") {
                    continue;
                }
                let mut message = Message::new(era, method, params);
                let mut body: Value = serde_json::from_str(&message.body)?;
                body["id"] = id.clone();
                message.body = body.to_string();
                let answer = message.post(&stack.raw()).await?;
                assert_eq!(answer.status, 200, "{era:?} {method} {id}: {}", answer.text);
                assert_eq!(answer.json()["id"], id, "{era:?} {method}: {}", answer.text);
            }
            let unknown = Message::new(era, "no/such", json!({}));
            let body = unknown.body.replace("\"id\":1", &format!("\"id\":{id}"));
            let answer = Message { body, ..unknown }.post(&stack.raw()).await?;
            assert_eq!((&answer.json()["id"], answer.error_code()), (&id, -32601), "{era:?}: {}", answer.text);
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_is_no_id_is_refused_without_one() -> anyhow::Result<()> {
    let raw = guests().await?.raw();
    for id in ["null", "1.5", "1e3", "true", "{}", "[1]", "9223372036854775808", "-9223372036854775809"] {
        for era in ERAS {
            let message = Message::new(era, "tools/list", json!({}));
            let body = message.body.replace("\"id\":1", &format!("\"id\":{id}"));
            let answer = Message { body, ..message }.post(&raw).await?;
            assert_eq!((answer.status, answer.error_code()), (400, -32600), "{era:?} {id}: {}", answer.text);
            assert!(answer.json()["error"]["message"].to_string().contains("id must be"), "{}", answer.text);
            // MCP's schema has an id that is a string or an integer, or none.
            assert_eq!(answer.json().get("id"), None, "{era:?} {id}: {}", answer.text);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_notification_is_accepted_and_has_no_effect() -> anyhow::Result<()> {
    let stack = guests().await?;
    let (_sidecar, mut calls) = HandMade::held(&stack.run_dir(), "not-asked", [tool("not_asked")])?;
    until_listed(stack, "not_asked", true).await?;
    for era in ERAS {
        let params = json!({ "name": "not_asked", "arguments": {} });
        for (method, params) in [
            ("notifications/initialized", json!({})),
            ("notifications/cancelled", json!({ "requestId": "none" })),
            ("notifications/roots/list_changed", json!({})),
            ("notifications/of/somebody/else", json!({})),
            ("tools/call", params),
        ] {
            let message = Message::new(era, method, params);
            let body = message.body.replace("\"id\":1,", "");
            let answer = Message { body, ..message }.post(&stack.raw()).await?;
            assert_eq!((answer.status, answer.text.as_str()), (202, ""), "{era:?} {method}");
        }
        // The call without an id would have come before this one.
        let asked = Message::call(era, "not_asked", &json!({ "this": "one" }));
        let waiting = tokio::spawn(asked.to(&stack.raw()).send());
        let call = calls.next().await?;
        assert_eq!(call.message()["params"]["arguments"]["this"], "one");
        call.content(&json!({})).await?;
        waiting.await??;
    }
    Ok(())
}

#[tokio::test]
async fn a_response_that_nothing_asked_for_is_refused() -> anyhow::Result<()> {
    let raw = guests().await?.raw();
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":"a","result":null}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"no"}}"#,
        r#"{"jsonrpc":"2.0","error":{"code":-1,"message":"no"}}"#,
    ] {
        for era in ERAS {
            let answer = Message::written(era, "", None, body).post(&raw).await?;
            assert_eq!((answer.status, answer.error_code()), (400, -32600), "{era:?} {body}: {}", answer.text);
            assert_eq!(answer.json().get("id"), None, "the id was not the kernel's to answer: {}", answer.text);
        }
    }
    Ok(())
}
