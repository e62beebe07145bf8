//! Kubernetes' own controllers are not hindered in an enclave, a frozen one included.

use anyhow::{Context as _, ensure};
use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    core::v1::{Namespace, Pod, ResourceQuota},
};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PropagationPolicy},
};
use serde_json::json;
use tentacular_test_harness::{eventually, until};

use super::world::admin;
use crate::support::{apply_word_count, client, enclave};

/// The pods that are there and stay, once there are as many.
async fn pods(pods: &Api<Pod>, count: usize) -> anyhow::Result<Vec<String>> {
    until(format!("there are {count} pods"), async || {
        let list = pods.list(&ListParams::default()).await?;
        let staying = list.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
        let names: Vec<_> = staying.map(|pod| pod.name_any()).collect();
        ensure!(names.len() == count, "{names:?}");
        Ok(names)
    })
    .await
}

#[tokio::test]
async fn e2e_admission_controllers_do_their_work_in_a_frozen_enclave() -> anyhow::Result<()> {
    let (mcp, admin) = (client().await?, admin().await?);
    let name = enclave(&mcp, "living").await?;
    apply_word_count(&mcp, &name).await?;
    let all: Api<Pod> = Api::namespaced(admin.clone(), &name);
    let before = pods(&all, 1).await?;
    mcp.call("enclave_sync", json!({ "name": name, "new_status": "frozen" })).await?;
    // The ReplicaSet's controller makes another pod in place of one that goes.
    all.delete(&before[0], &DeleteParams::default()).await?;
    let after = pods(&all, 1).await?;
    assert_ne!(before, after);
    // The quota's controller takes note of another limit.
    let quotas: Api<ResourceQuota> = Api::namespaced(admin.clone(), &name);
    let limit = Patch::Merge(json!({ "spec": { "hard": { "pods": "19" } } }));
    quotas.patch("tentacular-quota", &PatchParams::default(), &limit).await?;
    let noted = |quota: Option<&ResourceQuota>| {
        let hard = quota.and_then(|quota| quota.status.as_ref()?.hard.as_ref()?.get("pods"));
        hard.is_some_and(|hard| hard.0 == "19")
    };
    eventually(&quotas, "tentacular-quota", noted).await?;
    // The garbage collector takes what belonged to a Deployment.
    let deployments: Api<Deployment> = Api::namespaced(admin.clone(), &name);
    let params = DeleteParams { propagation_policy: Some(PropagationPolicy::Foreground), ..DeleteParams::default() };
    deployments.delete("word-count", &params).await?;
    eventually(&deployments, "word-count", |found: Option<&Deployment>| found.is_none()).await?;
    pods(&all, 0).await?;
    let sets = Api::<ReplicaSet>::namespaced(admin.clone(), &name).list(&ListParams::default()).await?;
    assert_eq!(sets.items.len(), 0);
    // And the namespace's controller empties it.
    apply_refused(&mcp, &name).await?;
    mcp.call("enclave_deprovision", json!({ "name": name })).await?;
    let namespaces: Api<Namespace> = Api::all(admin);
    eventually(&namespaces, &name, |found: Option<&Namespace>| found.is_none()).await?;
    Ok(())
}

/// That the enclave is still frozen.
async fn apply_refused(mcp: &tentacular_test_harness::mcp::Mcp, name: &str) -> anyhow::Result<()> {
    let error = apply_word_count(mcp, name).await.err().context("applied in a frozen enclave")?;
    ensure!(error.to_string().contains("frozen"), "{error}");
    Ok(())
}
