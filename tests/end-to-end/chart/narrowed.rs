//! A server that may not read pods of the whole cluster (`rbac.readAllPods=false`) does its work, and says what it leaves out.

use anyhow::ensure;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::{Api, DeleteParams};
use serde_json::json;
use tentacular_test_harness::{ControlPlane, Installation, Stack, background, chart::render, mcp::Era};

/// What gives the right.
const BINDING: &str = "tentacular-all-pods";

#[tokio::test]
async fn e2e_chart_a_server_that_may_not_read_all_pods_says_what_it_leaves_out() -> anyhow::Result<()> {
    let without = render(&[], &["rbac.readAllPods=false"]).await?;
    ensure!(!without.iter().any(|object| object["metadata"]["name"] == BINDING), "it is still there");

    let installation = Installation::install(ControlPlane::exclusive().await?).await?;
    let bindings = Api::<ClusterRoleBinding>::all(installation.control_plane().admin()?);
    bindings.delete(BINDING, &DeleteParams::default()).await?;
    let stack = background().spawn(Stack::start(installation.into())).await??;
    let mcp = stack.client(Era::Stateless).await?;
    let summary = mcp.call("health_cluster_summary", json!({})).await?;
    ensure!(summary["total_pods"].is_null() && summary["warnings"][0].is_string(), "{summary}");
    let profile = mcp.call("cluster_profile", json!({})).await?;
    ensure!(profile["warnings"].to_string().contains("network plugin"), "{profile}");
    let preflight = mcp.call("cluster_preflight", json!({})).await?;
    ensure!(preflight["allPass"] == true, "{preflight}");
    let checks = preflight["checks"].as_array().into_iter().flatten();
    let plugin = checks.filter(|check| check["name"] == "network-policies").collect::<Vec<_>>();
    ensure!(plugin[0]["warning"].as_str().is_some_and(|text| text.contains("forbidden")), "{plugin:?}");
    Ok(())
}
