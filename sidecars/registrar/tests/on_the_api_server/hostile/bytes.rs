//! Calls that are hostile in how they are written.

use tentacular_contract::Caller;

use super::{inhabit, own, standing};
use crate::{
    applying::call,
    world::{World, person},
};

/// A call of the thief with `manifests` written as they are.
fn body(enclave: &str, manifests: &str) -> String {
    let meta =
        r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}"#;
    let arguments = format!(r#"{{"enclave":"{enclave}","name":"thief","manifests":[{manifests}]}}"#);
    let params = format!(r#"{{"_meta":{{{meta}}},"name":"wf_apply","arguments":{arguments}}}"#);
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#)
}

#[tokio::test]
async fn nesting_without_end_is_refused_where_json_is_read_and_ends_nothing() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("nested").await;
    let permitted = world.permit(&Caller::Bearer, "wf_apply", call(&enclave, "thief", &[own()])).await.unwrap();
    for depth in [200, 1_000_000] {
        let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let manifest = format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"c"}},"data":{deep}}}"#);
        let error = world.send_bytes(&permitted, body(&enclave, &manifest)).await.unwrap_err().to_string();
        assert!(error.contains("recursion limit exceeded"), "{depth}: {error}");
    }
    // The registrar lives, and takes what is not nested.
    world.send(&permitted).await.unwrap();
}

#[tokio::test]
async fn of_a_member_that_is_repeated_the_one_that_would_be_applied_is_the_one_that_is_checked() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("repeated").await;
    inhabit(&world, &enclave).await;
    let before = standing(&world, &enclave).await;
    let permitted = world.permit(&person("bob@x.io"), "wf_apply", call(&enclave, "thief", &[own()])).await.unwrap();
    for (repeated, part) in [
        (
            r#""apiVersion":"v1","kind":"ConfigMap","kind":"Namespace","metadata":{"name":"c"}"#,
            "\"Namespace\" is not",
        ),
        (
            r#""apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"metadata":{"name":"victim-config"}"#,
            "ConfigMap/victim-config belongs to tentacle victim",
        ),
        (
            r#""apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c","name":"d","namespace":"default"}"#,
            "ConfigMap d): metadata.namespace: \"default\" is not the enclave",
        ),
    ] {
        let manifests = format!("{},{{{repeated}}}", own());
        let answer = world.send_bytes(&permitted, body(&enclave, &manifests)).await.unwrap();
        let text = answer["content"][0]["text"].as_str().unwrap();
        assert!(answer["isError"] == true && text.contains(part), "{repeated}: {answer}");
    }
    assert_eq!(standing(&world, &enclave).await, before);
}
