//! From an empty cluster to a tentacle that ran, and back, through MCP alone.

use anyhow::ensure;
use serde_json::json;
use tentacular_test_harness::until;

use crate::support::{apply_word_count, client, enclave, stack, unique, word_count};

#[tokio::test]
async fn a_tentacle_is_applied_listed_run_and_removed_through_mcp() -> anyhow::Result<()> {
    let mcp = client().await?;
    let enclave = enclave(&mcp, "flow").await?;

    let info = mcp.call("enclave_info", json!({ "name": enclave })).await?;
    assert_eq!((info["owner"].as_str(), info["status"].as_str()), (Some("ann@example.com"), Some("active")));
    let listed = mcp.call("enclave_list", json!({})).await?;
    let names: Vec<_> = listed["enclaves"].as_array().unwrap().iter().map(|entry| &entry["name"]).collect();
    assert!(names.contains(&&json!(enclave)), "{names:?}");

    let applied = apply_word_count(&mcp, &enclave).await?;
    assert_eq!((applied["name"].as_str(), applied["enclave"].as_str()), (Some("word-count"), Some(enclave.as_str())));
    assert_eq!(applied["created"], word_count()?.as_array().unwrap().len(), "{applied}");

    let place = json!({ "enclave": enclave, "name": "word-count" });
    until("it is ready", async || {
        let status = mcp.call("wf_status", place.clone()).await?;
        ensure!(status["ready"] == true, "{status}");
        Ok(())
    })
    .await?;
    let workflows = mcp.call("wf_list", json!({ "enclave": enclave })).await?;
    assert_eq!(workflows["workflows"][0]["name"], "word-count", "{workflows}");
    assert_eq!(workflows["workflows"][0]["enclave"], json!(enclave));

    let mut run = place.clone();
    run["input"] = json!({ "text": "the cat and the hat" });
    let ran = mcp.call("wf_run", run).await?;
    assert_eq!(ran["output"]["success"], true, "{ran}");
    let health = mcp.call("wf_health", place.clone()).await?;
    assert_eq!(health["status"], "green", "{health}");

    let removed = mcp.call("wf_remove", place.clone()).await?;
    assert!(removed["deleted"].as_u64().unwrap() >= 4, "{removed}");
    let gone = mcp.refusal("wf_run", place).await?;
    assert!(gone.contains("does not exist") || gone.contains("no tentacle"), "{gone}");
    Ok(())
}

#[tokio::test]
async fn a_second_apply_of_the_same_manifests_changes_nothing() -> anyhow::Result<()> {
    let mcp = client().await?;
    let enclave = enclave(&mcp, "again").await?;
    apply_word_count(&mcp, &enclave).await?;
    let again = apply_word_count(&mcp, &enclave).await?;
    assert_eq!((again["created"].as_u64(), again["updated"].as_u64()), (Some(0), Some(0)), "{again}");
    assert_eq!(again["status"], "unchanged", "{again}");
    Ok(())
}

#[tokio::test]
async fn an_object_of_another_release_is_never_taken_over() -> anyhow::Result<()> {
    let mcp = client().await?;
    let enclave = enclave(&mcp, "foreign").await?;
    apply_word_count(&mcp, &enclave).await?;
    let manifests = word_count()?;
    let service = manifests.as_array().unwrap().iter().find(|object| object["kind"] == "Service").unwrap().clone();
    let mut deployment =
        manifests.as_array().unwrap().iter().find(|object| object["kind"] == "Deployment").unwrap().clone();
    deployment["metadata"]["name"] = json!("thief");
    let arguments = json!({ "enclave": enclave, "name": "thief", "manifests": [deployment, service] });
    let refusal = mcp.refusal("wf_apply", arguments).await?;
    assert!(refusal.contains("Service") && refusal.contains("word-count"), "{refusal}");
    let status = mcp.call("wf_list", json!({ "enclave": enclave })).await?;
    assert_eq!(status["workflows"].as_array().unwrap().len(), 1, "nothing was written: {status}");
    Ok(())
}

#[tokio::test]
async fn what_the_real_client_sends_is_taken_unchanged_unless_it_asks_for_backing_services() -> anyhow::Result<()> {
    let mcp = client().await?;
    let recorded = include_str!("tntc-wf-apply.jsonl");
    for line in recorded.lines() {
        let call: serde_json::Value = serde_json::from_str(line)?;
        let name = enclave(&mcp, "tntc").await?;
        let mut arguments = call["arguments"].clone();
        // The recorded calls name an enclave that only one test could have.
        let text = arguments.to_string().replace("team-a", &name);
        arguments = serde_json::from_str(&text)?;
        if arguments["name"] == "rich-flow" {
            let refusal = mcp.refusal("wf_apply", arguments).await?;
            for service in ["postgres", "nats", "rustfs"] {
                assert!(refusal.contains(&format!("exoskeleton: {service} not enabled")), "{refusal}");
            }
            let listed = mcp.call("wf_list", json!({ "enclave": name })).await?;
            assert_eq!(listed["workflows"], json!([]), "nothing was written");
            continue;
        }
        let applied = mcp.call("wf_apply", arguments).await?;
        assert!(applied["created"].as_u64().unwrap() > 0, "{applied}");
        let warnings = applied["warnings"].to_string();
        assert!(warnings.contains("app.kubernetes.io/version"), "{warnings}");
    }
    Ok(())
}

#[tokio::test]
async fn calls_without_a_token_are_refused_before_anything_is_looked_at() -> anyhow::Result<()> {
    let raw = tentacular_test_harness::mcp::Raw::new(stack().await?.url(), None);
    let answer = raw.post("not even JSON", &[]).await?;
    assert_eq!(answer.status, 401);
    assert!(answer.headers.contains_key("www-authenticate"));
    assert!(answer.text.contains("401 Unauthorized"), "{}", answer.text);
    let wrong = tentacular_test_harness::mcp::Raw::new(stack().await?.url(), Some("wrong"));
    assert_eq!(wrong.call("enclave_list", &json!({})).await?.status, 401);
    Ok(())
}

#[tokio::test]
async fn protected_and_missing_places_are_refused_with_a_sentence() -> anyhow::Result<()> {
    let mcp = client().await?;
    for (enclave, expected) in
        [("kube-system", "protected"), ("default", "protected"), (&*unique("none"), "no enclave")]
    {
        let refusal = mcp.refusal("wf_list", json!({ "enclave": enclave })).await?;
        assert!(refusal.contains(expected), "{refusal}");
    }
    let refusal = mcp.refusal("wf_status", json!({ "name": "word-count" })).await?;
    assert!(refusal.contains("enclave is required"), "{refusal}");
    Ok(())
}
