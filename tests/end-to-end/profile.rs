//! `cluster_profile`, `platform_config` and `proxy_status`, as people ask them.

use std::collections::BTreeMap;

use anyhow::ensure;
use k8s_openapi::api::{
    apps::v1::Deployment, core::v1::Namespace, node::v1::RuntimeClass, storage::v1::StorageClass,
};
use kube::{Api, api::PostParams};
use serde_json::{Value, json};
use tentacular_test_harness::{
    Installation, Part, Stack, background, mcp::Era, node::NODE_NAME, stack::Options, until,
};

use crate::{
    enclaves::world::{Team, bearer, installation, soon},
    support::{OWN, unique},
};

/// Whether a list has an object with this member.
fn has<'a>(list: &'a Value, name: &str, value: &str) -> Option<&'a Value> {
    list.as_array().into_iter().flatten().find(|entry| entry[name] == value)
}

#[tokio::test]
async fn e2e_profile_shows_the_cluster_and_an_enclave_to_whoever_may_read_it() -> anyhow::Result<()> {
    let admin = installation().await?.control_plane().admin()?;
    let (class, runtime) = (unique("shared"), unique("sandbox"));
    let storage = json!({ "metadata": { "name": class }, "provisioner": "nfs.csi.example.com" });
    Api::<StorageClass>::all(admin.clone()).create(&PostParams::default(), &serde_json::from_value(storage)?).await?;
    let handler = json!({ "metadata": { "name": runtime }, "handler": "runsc" });
    Api::<RuntimeClass>::all(admin).create(&PostParams::default(), &serde_json::from_value(handler)?).await?;

    let team = Team::new("profile").await?;
    let profile = soon(&team.member.here, "cluster_profile", json!({ "enclave": team.enclave })).await?;
    assert_eq!((&profile["distribution"], &profile["cni"]["name"]), (&json!("vanilla"), &json!("unknown")));
    assert!(profile["k8sVersion"].as_str().is_some_and(|version| version.starts_with("v1.")), "{profile}");
    let node = has(&profile["nodes"], "name", NODE_NAME).unwrap_or(&Value::Null);
    assert_eq!(
        (&node["ready"], &node["arch"], &node["capacity"]["cpu"]),
        (&json!(true), &json!("amd64"), &json!("64"))
    );
    let storage = has(&profile["storageClasses"], "name", &class).unwrap_or(&Value::Null);
    assert_eq!((&storage["rwxCapable"], &storage["reclaimPolicy"]), (&json!(true), &json!("Delete")), "{storage}");
    assert_eq!(has(&profile["runtimeClasses"], "name", &runtime).unwrap_or(&Value::Null)["handler"], "runsc");
    assert_eq!(profile["gvisor"], true);
    assert_eq!(profile["networkPolicy"], json!({ "supported": false, "inUse": true }));
    assert_eq!((&profile["enclave"], &profile["podSecurity"]), (&json!(team.enclave), &json!("restricted")));
    assert_eq!(
        profile["quota"],
        json!({ "cpuRequest": "16", "cpuLimit": "64", "memoryRequest": "16Gi", "memoryLimit": "64Gi", "maxPods": 50 })
    );
    assert_eq!(
        profile["limitRange"],
        json!({ "defaultCPURequest": "50m", "defaultCPULimit": "500m", "defaultMemoryRequest": "64Mi",
            "defaultMemoryLimit": "256Mi" })
    );
    assert!(profile["guidance"].to_string().contains("may ask for 16 of cores and 16Gi of memory"), "{profile}");
    assert!(profile["warnings"].is_null(), "everything could be read: {}", profile["warnings"]);

    let refusal = team.other.here.refusal("cluster_profile", json!({ "enclave": team.enclave })).await?;
    assert!(refusal.starts_with("permission denied: read on enclave"), "{refusal}");
    for place in [json!({}), json!({ "enclave": "kube-system" }), json!({ "enclave": unique("none") })] {
        let profile = team.other.here.call("cluster_profile", place).await?;
        assert_eq!((&profile["enclave"], &profile["podSecurity"]), (&json!(""), &json!("")), "{profile}");
        assert!(profile["quota"].is_null() && profile["limitRange"].is_null(), "{profile}");
    }
    Ok(())
}

#[tokio::test]
async fn e2e_profile_of_the_platform_is_what_the_installation_sets() -> anyhow::Result<()> {
    let unset = bearer().await?.call("platform_config", json!({})).await?;
    assert_eq!(unset, json!({ "chroma_url": "", "docs_url": "" }));
    let args = ["--chroma-url=https://chroma.example.com", "--docs-url=https://docs.example.com"];
    let sidecar_args = BTreeMap::from([(Part::Auditor, args.map(str::to_owned).into())]);
    let options = Options { sidecar_args, enclaves: Some(OWN.to_owned()), ..Options::default() };
    let start = async { Stack::start_with(Installation::shared().await?, options).await };
    let stack = background().spawn(start).await??;
    let set = stack.client(Era::Stateless).await?.call("platform_config", json!({})).await?;
    assert_eq!(set, json!({ "chroma_url": "https://chroma.example.com", "docs_url": "https://docs.example.com" }));
    Ok(())
}

#[tokio::test]
async fn e2e_profile_of_the_module_proxy_is_what_its_pods_show() -> anyhow::Result<()> {
    let name = unique("proxy");
    let sidecar_args = BTreeMap::from([(Part::Auditor, vec![format!("--proxy-namespace={name}")])]);
    let options = Options { sidecar_args, enclaves: Some(OWN.to_owned()), ..Options::default() };
    let start = async { Stack::start_with(Installation::shared().await?, options).await };
    let stack = background().spawn(start).await??;
    let mcp = stack.client(Era::Stateless).await?;
    let status = mcp.call("proxy_status", json!({})).await?;
    let label = "pod-security.kubernetes.io/enforce=restricted";
    let missing = format!(
        "namespace {name} does not exist; `kubectl create namespace {name}` and `kubectl label namespace {name} {label}` \
         make it"
    );
    assert_eq!(
        status,
        json!({ "namespace": name, "image": "", "storage": "", "installed": false, "ready": false,
            "warnings": [missing], "untrusted": status["untrusted"] })
    );

    let admin = stack.installation().control_plane().admin()?;
    let namespace = json!({ "metadata": { "name": name } });
    let namespaces = Api::<Namespace>::all(admin.clone());
    namespaces.create(&PostParams::default(), &serde_json::from_value(namespace)?).await?;
    let labels = json!({ "app.kubernetes.io/managed-by": "tentacular", "app.kubernetes.io/name": "esm-sh",
        "app.kubernetes.io/component": "module-proxy" });
    let container = json!({ "name": "esm-sh", "image": "ghcr.io/esm-dev/esm.sh:v136",
        "volumeMounts": [{ "name": "cache", "mountPath": "/app/cache" }] });
    let spec = json!({ "containers": [container], "volumes": [{ "name": "cache", "emptyDir": {} }] });
    let deployment = json!({ "metadata": { "name": "esm-sh", "labels": labels }, "spec": {
        "selector": { "matchLabels": labels }, "template": { "metadata": { "labels": labels }, "spec": spec } } });
    let deployments = Api::<Deployment>::namespaced(admin, &name);
    deployments.create(&PostParams::default(), &serde_json::from_value(deployment)?).await?;
    let status = until("the module proxy is ready", async || {
        let status = mcp.call("proxy_status", json!({})).await?;
        ensure!(status["ready"] == true, "{status}");
        Ok(status)
    })
    .await?;
    let expected = json!({ "namespace": name, "image": "ghcr.io/esm-dev/esm.sh:v136", "storage": "emptydir",
        "installed": true, "ready": true, "untrusted": status["untrusted"] });
    assert_eq!(status, expected);
    Ok(())
}
