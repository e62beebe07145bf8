//! The module proxy: the registrar keeps it and asks it for the modules of what is applied, the auditor tells of it.

mod asked;
mod warming;

use std::collections::BTreeMap;

use anyhow::ensure;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Namespace};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tentacular_test_harness::{
    Installation, Part, Stack, background,
    installation::allow_module_proxy,
    mcp::{Era, Mcp},
    stack::Options,
    until,
};

use crate::support::{OWN, unique};

async fn status_until(mcp: &Mcp, is_so: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
    until("the status is as wanted", async || {
        let status = mcp.call("proxy_status", json!({})).await?;
        ensure!(is_so(&status), "{status}");
        Ok(status)
    })
    .await
}

#[tokio::test]
async fn e2e_module_proxy_is_kept_and_its_status_tells_what_differs() -> anyhow::Result<()> {
    let name = unique("modules");
    let args = [format!("--proxy-namespace={name}"), "--proxy-reconciler-disabled=false".to_owned()];
    let sidecar_args = [Part::Registrar, Part::Auditor].map(|part| (part, args.to_vec()));
    let options =
        Options { sidecar_args: BTreeMap::from(sidecar_args), enclaves: Some(OWN.to_owned()), ..Options::default() };
    let start = async { Stack::start_with(Installation::shared().await?, options).await };
    let stack = background().spawn(start).await??;
    let mcp = stack.client(Era::Stateless).await?;
    let absent = mcp.call("proxy_status", json!({})).await?;
    ensure!(absent["installed"] == false && absent["warnings"].to_string().contains("does not exist"), "{absent}");

    let control_plane = stack.installation().control_plane();
    let admin = control_plane.admin()?;
    let labels = json!({ "pod-security.kubernetes.io/enforce": "restricted" });
    let namespace = serde_json::from_value(json!({ "metadata": { "name": name, "labels": labels } }))?;
    Api::<Namespace>::all(admin.clone()).create(&PostParams::default(), &namespace).await?;
    let closed = mcp.call("proxy_status", json!({})).await?;
    ensure!(closed["warnings"].to_string().contains("moduleProxy.enabled"), "{closed}");

    allow_module_proxy(control_plane, &name).await?;
    let expected = json!({ "namespace": name, "image": "ghcr.io/esm-dev/esm.sh:v136", "storage": "emptydir",
        "installed": true, "ready": true, "untrusted": closed["untrusted"] });
    assert_eq!(status_until(&mcp, |status| status["ready"] == true).await?, expected);

    // Nobody puts it right while the registrar is away.
    stack.kill(Part::Registrar).await?;
    let change = json!({ "spec": { "replicas": 2 } });
    let deployments = Api::<Deployment>::namespaced(admin, &name);
    deployments.patch("esm-sh", &PatchParams::default(), &Patch::Merge(change)).await?;
    let drifted = mcp.call("proxy_status", json!({})).await?;
    assert_eq!(drifted["drift"], json!(["Deployment: spec.replicas: 2 is to be 1"]));
    stack.restart(Part::Registrar)?;
    status_until(&mcp, |status| *status == expected).await?;
    Ok(())
}
