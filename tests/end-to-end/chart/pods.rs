//! What the chart's pods may.

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;
use tentacular_contract::pod_security::ENFORCE;
use tentacular_test_harness::{Installation, chart::render};

#[tokio::test]
async fn e2e_chart_its_pods_are_admitted_where_restricted_is_enforced() -> anyhow::Result<()> {
    let installation = Installation::shared().await?;
    let control_plane = installation.control_plane();
    let admin = control_plane.admin()?;
    let name = control_plane.namespace("restricted").await?;
    let enforce = json!({ "metadata": { "labels": { ENFORCE: "restricted" } } });
    Api::<Namespace>::all(admin.clone()).patch(&name, &PatchParams::default(), &Patch::Merge(enforce)).await?;
    let accounts = Api::<ServiceAccount>::namespaced(admin.clone(), &name);
    for account in ["tentacular-mcp", "tentacular-webhook"] {
        let account = serde_json::from_value(json!({ "metadata": { "name": account } }))?;
        accounts.create(&PostParams::default(), &account).await?;
    }
    let pods = Api::<Pod>::namespaced(admin, &name);
    let mut admitted = 0;
    let values = ["tls.existingSecret=tls", "sidecars[0].name=a,sidecars[0].image=b,sidecars[0].uid=1"];
    for object in render(&[], &values).await? {
        let template = match object["kind"].as_str() {
            Some("Pod") => &object,
            Some("Deployment") => &object["spec"]["template"],
            _ => continue,
        };
        let mut pod = json!({ "metadata": { "name": "tried" }, "spec": template["spec"] });
        pods.create(&PostParams { dry_run: true, ..PostParams::default() }, &serde_json::from_value(pod.clone())?)
            .await
            .with_context(|| object["metadata"]["name"].to_string())?;
        pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
        let refused = pods
            .create(&PostParams { dry_run: true, ..PostParams::default() }, &serde_json::from_value(pod)?)
            .await
            .expect_err("restricted is enforced here")
            .to_string();
        ensure!(refused.contains("violates PodSecurity"), "{refused}");
        admitted += 1;
    }
    ensure!(admitted == 3, "{admitted} kinds of pods: server, webhook, test");
    Ok(())
}
