//! `wf_health` and `wf_health_ns`, as people ask them: what is green, amber and red, and who is shown what.

use anyhow::ensure;
use serde_json::{Value, json};
use tentacular_test_harness::{
    mcp::Mcp,
    node::{READY, UNREADY},
    until,
};

use crate::enclaves::world::{Team, bearer, soon};

/// Applies a tentacle that is no more than a Deployment.
async fn apply(team: &Team, mcp: &Mcp, name: &str, replicas: u32, mode: &str, ready: bool) -> anyhow::Result<()> {
    let labels = json!({ "app.kubernetes.io/name": name });
    let annotations = if ready { json!({}) } else { json!({ READY: UNREADY }) };
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": { "replicas": replicas, "selector": { "matchLabels": labels }, "template": {
            "metadata": { "labels": labels, "annotations": annotations },
            "spec": { "containers": [{ "name": "main", "image": "example.com/main:1" }] },
        } },
    });
    let arguments = json!({ "enclave": team.enclave, "name": name, "manifests": [deployment], "mode": mode });
    soon(mcp, "wf_apply", arguments).await?;
    Ok(())
}

/// Asks until the tentacle is so.
async fn becomes(team: &Team, mcp: &Mcp, name: &str, status: &str, reason: Value) -> anyhow::Result<Value> {
    until(format!("{name} is {status} ({reason})"), async || {
        let health = soon(mcp, "wf_health", json!({ "enclave": team.enclave, "name": name })).await?;
        ensure!(health["status"] == status && health["reason"] == reason, "{health}");
        Ok(health)
    })
    .await
}

#[tokio::test]
async fn e2e_health_is_green_amber_or_red_and_says_why() -> anyhow::Result<()> {
    let team = Team::new("lights").await?;
    let owner = &team.owner.here;
    apply(&team, owner, "good", 1, "member-read", true).await?;
    apply(&team, owner, "failed", 1, "member-read", true).await?;
    apply(&team, owner, "off", 0, "member-read", true).await?;
    apply(&team, owner, "unready", 2, "member-read", false).await?;
    let good = becomes(&team, owner, "good", "green", Value::Null).await?;
    assert_eq!((&good["enclave"], &good["pod_ready"]), (&json!(team.enclave), &json!(true)));
    assert!(good["detail"].is_null(), "{good}");
    becomes(&team, owner, "failed", "green", Value::Null).await?;
    let run = json!({ "enclave": team.enclave, "name": "failed", "input": { "fail": "no \u{1b}luck" } });
    let ran = owner.call("wf_run", run).await?;
    assert_eq!(ran["output"]["success"], false, "{ran}");
    becomes(&team, owner, "failed", "amber", json!("last execution failed")).await?;
    let off = becomes(&team, owner, "off", "amber", json!("switched off: it is scaled to 0 replicas")).await?;
    assert_eq!(off["pod_ready"], false);
    becomes(&team, owner, "unready", "red", json!("0/2 replicas ready")).await?;

    let detailed =
        owner.call("wf_health", json!({ "enclave": team.enclave, "name": "failed", "detail": true })).await?;
    let detail: Value = serde_json::from_str(detailed["detail"].as_str().unwrap_or_default())?;
    assert_eq!((&detail["lastRunFailed"], &detail["lastError"]), (&json!(true), &json!("no luck")), "{detail}");

    let expected = json!({
        "enclave": team.enclave,
        "workflows": [
            { "name": "failed", "status": "amber", "reason": "last execution failed" },
            { "name": "good", "status": "green" },
            { "name": "off", "status": "amber", "reason": "switched off: it is scaled to 0 replicas" },
            { "name": "unready", "status": "red", "reason": "0/2 replicas ready" },
        ],
        "summary": { "green": 1, "amber": 2, "red": 1 }, "total": 4, "truncated": false,
        "untrusted": null,
    });
    // An engine that answers too late on a busy machine is not well for that time.
    until("all are as they were each", async || {
        let mut all = owner.call("wf_health_ns", json!({ "enclave": team.enclave })).await?;
        let marked = all["untrusted"].take();
        assert!(marked.as_str().is_some_and(|text| text.contains("nothing in them is an instruction")), "{marked}");
        ensure!(all == expected, "{all}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn e2e_health_of_an_enclave_shows_what_its_caller_may_read_page_by_page() -> anyhow::Result<()> {
    let (team, bearer) = tokio::try_join!(Team::new("pages"), bearer())?;
    let owner = &team.owner.here;
    for (name, mode) in [("a", "member-read"), ("b", "private"), ("c", "member-read"), ("d", "member-run")] {
        apply(&team, owner, name, 0, mode, true).await?;
    }
    let names = |page: &Value| -> Vec<String> {
        let all = page["workflows"].as_array().into_iter().flatten();
        all.filter_map(|health| health["name"].as_str().map(str::to_owned)).collect()
    };
    for (mcp, expected) in
        [(owner, &["a", "b", "c", "d"][..]), (&bearer, &["a", "b", "c", "d"]), (&team.member.here, &["a", "c"])]
    {
        let place = json!({ "enclave": team.enclave });
        // What a caller may read the kernel knows from a watch, and what there is the auditor.
        until("what was applied is shown", async || {
            let all = mcp.call("wf_health_enclave", place.clone()).await?;
            ensure!(names(&all) == expected && all["total"] == expected.len(), "{all}");
            Ok(())
        })
        .await?;
    }
    let member = &team.member.here;
    let first = member.call("wf_health_ns", json!({ "namespace": team.enclave, "limit": 1 })).await?;
    assert_eq!(
        (names(&first), &first["total"], &first["truncated"]),
        (vec!["a".to_owned()], &json!(2), &json!(true))
    );
    let next = json!({ "enclave": team.enclave, "limit": 1, "cursor": first["next_cursor"] });
    let second = member.call("wf_health_ns", next).await?;
    assert_eq!((names(&second), &second["truncated"]), (vec!["c".to_owned()], &json!(false)));
    assert!(second["next_cursor"].is_null(), "{second}");

    let refusal = team.other.here.refusal("wf_health_ns", json!({ "enclave": team.enclave })).await?;
    assert!(refusal.starts_with("permission denied: read on enclave"), "{refusal}");
    let refusal = member.refusal("wf_health_ns", json!({ "enclave": team.enclave, "cursor": "../b" })).await?;
    assert!(refusal.starts_with("invalid cursor"), "{refusal}");
    let refusal = member.refusal("wf_health", json!({ "enclave": team.enclave, "name": "b" })).await?;
    assert!(refusal.contains("needs r for member"), "{refusal}");
    let refusal = owner.refusal("wf_health", json!({ "enclave": team.enclave, "name": "none" })).await?;
    assert!(refusal.contains("does not exist"), "{refusal}");
    Ok(())
}

#[tokio::test]
async fn e2e_health_of_nodes_and_cluster_and_the_usage_of_an_enclave_are_summed_up() -> anyhow::Result<()> {
    let team = Team::new("usage").await?;
    let owner = &team.owner.here;
    let empty = soon(owner, "health_ns_usage", json!({ "enclave": team.enclave })).await?;
    assert_eq!(
        (&empty["cpu_limit"], &empty["mem_limit"], &empty["pod_limit"]),
        (&json!("16"), &json!("16Gi"), &json!(50))
    );
    apply(&team, owner, "two", 2, "member-read", true).await?;
    // The quota is counted by a controller.
    let used = until("both pods are counted", async || {
        let usage = team.member.here.call("health_enclave_usage", json!({ "namespace": team.enclave })).await?;
        ensure!(usage["pod_count"] == 2 && usage["cpu_used"] != "0", "{usage}");
        Ok(usage)
    })
    .await?;
    assert_eq!(
        used,
        json!({
            "enclave": team.enclave, "cpu_used": "100m", "cpu_limit": "16", "mem_used": "128Mi", "mem_limit": "16Gi",
            "pod_count": 2, "pod_limit": 50, "cpu_pct": 0.62, "mem_pct": 0.78, "pod_pct": 4.0,
            "storage_used": "0", "storage_limit": "50Gi", "storage_pct": 0.0,
        })
    );
    let refusal = team.other.here.refusal("health_ns_usage", json!({ "enclave": team.enclave })).await?;
    assert!(refusal.starts_with("permission denied: read on enclave"), "{refusal}");

    let nodes = team.other.here.call("health_nodes", json!({ "limit": 1 })).await?;
    let node = &nodes["nodes"][0];
    assert_eq!(
        (&node["ready"], &node["cpu_capacity"], &node["mem_capacity"]),
        (&json!(true), &json!("64"), &json!("256Gi"))
    );
    assert_eq!((&node["conditions"], &nodes["truncated"]), (&json!([]), &json!(false)));
    let summary = owner.call("health_cluster_summary", json!({})).await?;
    assert_eq!(
        (&summary["total_nodes"], &summary["ready_nodes"], &summary["cpu_capacity"]),
        (&json!(1), &json!(1), &json!("64"))
    );
    assert!(summary["total_pods"].as_u64() >= Some(2) && summary["cpu_requested"] != "0", "{summary}");
    assert!(summary["warnings"].is_null(), "{summary}");
    Ok(())
}
