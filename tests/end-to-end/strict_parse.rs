//! Bodies that parsers read differently are refused, before anything is decided on them.

use serde_json::json;

use crate::support::{client, enclave, stack};

#[tokio::test]
async fn repeated_and_case_variant_member_names_are_refused() -> anyhow::Result<()> {
    let enclave = enclave(&client().await?, "strict").await?;
    let raw = stack().await?.raw();
    let params = format!(r#"{{"name":"enclave_info","arguments":{{"name":"{enclave}"}}}}"#);
    let whole = |members: &str| format!(r#"{{"jsonrpc":"2.0","id":1,{members}}}"#);
    let plain = raw.post(whole(&format!(r#""method":"tools/call","params":{params}"#)), &[]).await?;
    assert_eq!(plain.json()["result"]["isError"], false, "{}", plain.text);
    for members in [
        format!(r#""method":"ping","method":"tools/call","params":{params}"#),
        format!(r#""method":"tools/call","Method":"ping","params":{params}"#),
        format!(r#""Method":"tools/call","params":{params}"#),
        format!(r#""method":"tools/call","params":{params},"params":{{}}"#),
        format!(r#""method":"tools/call","params":{params},"PARAMS":{{}}"#),
        r#""method":"tools/call","params":{"name":"enclave_info","name":"enclave_list","arguments":{}}"#.to_owned(),
        r#""method":"tools/call","params":{"name":"enclave_list","Name":"enclave_info","arguments":{}}"#.to_owned(),
        format!(
            r#""method":"tools/call","params":{{"name":"enclave_info","arguments":{{"name":"kube-system","name":"{enclave}"}}}}"#
        ),
        format!(
            r#""method":"tools/call","params":{{"name":"enclave_info","arguments":{{"name":"{enclave}","NAME":"kube-system"}}}}"#
        ),
        format!(
            r#""method":"tools/call","params":{{"name":"enclave_info","arguments":{{"n\u0061me":"{enclave}","name":"{enclave}"}}}}"#
        ),
    ] {
        let answer = raw.post(whole(&members), &[]).await?;
        assert_eq!((answer.status, answer.error_code()), (400, -32600), "{members}: {}", answer.text);
    }
    Ok(())
}

#[tokio::test]
async fn what_is_no_request_is_answered_clearly_and_loses_nothing() -> anyhow::Result<()> {
    let raw = stack().await?.raw();
    for (body, code) in [
        ("{", -32700),
        ("[]", -32600),
        (r#"{"jsonrpc":"2.0","id":1}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
    ] {
        let answer = raw.post(body, &[]).await?;
        assert_eq!((answer.status, answer.error_code()), (400, code), "{body}");
    }
    let huge = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"x":"{}"}}}}"#, "x".repeat(5 << 20));
    let answer = raw.post(huge, &[]).await?;
    assert_eq!(answer.status, 413);
    assert!(answer.text.contains("4 MiB"), "{}", answer.text);
    let differ = raw.call("enclave_info", &json!({ "name": "team-a", "enclave": "team-b" })).await?;
    assert!(differ.tool_error().contains("enclave and name differ"), "{}", differ.text);
    let bad_name = raw.call("enclave_info", &json!({ "name": "../x" })).await?;
    assert!(bad_name.tool_error().contains("invalid enclave name"), "{}", bad_name.text);
    let array = raw.call("enclave_list", &json!([])).await?;
    assert_eq!(array.error_code(), -32602, "{}", array.text);
    let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;
    assert_eq!(raw.post(initialize, &[]).await?.error_code(), -32602);
    Ok(())
}
