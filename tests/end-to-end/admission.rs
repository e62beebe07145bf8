//! The webhook holds the annotation rules against whoever goes around the server.

use anyhow::Context as _;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Namespace},
};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tentacular_test_harness::Installation;

use crate::support::{apply_word_count, client, enclave, stack, unique};

/// The text of a refusal by the API server.
fn refusal<T: std::fmt::Debug>(result: Result<T, kube::Error>) -> String {
    match result {
        Err(kube::Error::Api(status)) => status.message,
        other => panic!("not refused: {other:?}"),
    }
}

async fn annotate<K>(api: &Api<K>, name: &str, key: &str, value: Value) -> Result<K, kube::Error>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let patch = json!({ "metadata": { "annotations": { key: value } } });
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await
}

#[tokio::test]
async fn bad_annotations_from_a_plain_client_are_refused_with_the_fix() -> anyhow::Result<()> {
    let mcp = client().await?;
    let name = enclave(&mcp, "admitted").await?;
    apply_word_count(&mcp, &name).await?;
    let admin = stack().await?.installation().control_plane().admin()?;
    let deployments: Api<Deployment> = Api::namespaced(admin.clone(), &name);
    let namespaces: Api<Namespace> = Api::all(admin);
    let cron = "tentacular.io/cron-schedule";
    let refused = refusal(annotate(&deployments, "word-count", cron, json!("61 * * * *")).await);
    assert!(refused.contains("tentacular.webhook") || refused.contains("webhook.tentacular.io"), "{refused}");
    assert!(
        refused.contains("metadata.annotations[tentacular.io/cron-schedule]") && refused.contains("61"),
        "{refused}"
    );
    let refused = refusal(annotate(&deployments, "word-count", "tentacular.io/mode", json!("777")).await);
    assert!(refused.contains("rwxr-x---"), "the refusal shows what to write: {refused}");
    let refused = refusal(annotate(&namespaces, &name, "tentacular.io/mode", json!("public")).await);
    assert!(refused.contains("public-read"), "{refused}");
    annotate(&deployments, "word-count", cron, json!("0 2 * * *,*/15 9-17 * * 1,3,5")).await?;
    annotate(&namespaces, &name, "tentacular.io/mode", json!("rwxr-x---")).await?;
    Ok(())
}

#[tokio::test]
async fn nothing_outside_an_enclave_waits_for_the_webhook() -> anyhow::Result<()> {
    let control_plane = tentacular_test_harness::ControlPlane::exclusive().await?;
    let installation = Installation::into_own(control_plane).await?;
    let admin = installation.control_plane().admin()?;
    let webhook = installation.webhook().context("a webhook")?;
    webhook.kill()?;
    webhook.wait().await?;
    let outside = installation.control_plane().namespace("outside").await?;
    let map: ConfigMap = serde_json::from_value(json!({ "metadata": { "name": "free" } }))?;
    Api::<ConfigMap>::namespaced(admin.clone(), &outside).create(&PostParams::default(), &map).await?;
    let namespaces: Api<Namespace> = Api::all(admin.clone());
    annotate(&namespaces, &outside, "tentacular.io/mode", json!("nonsense")).await?;
    let labelled: Namespace = serde_json::from_value(json!({ "metadata": {
        "name": unique("inside"), "labels": { "app.kubernetes.io/managed-by": "tentacular" } } }))?;
    let refused = refusal(namespaces.create(&PostParams::default(), &labelled).await);
    assert!(refused.contains("failed calling webhook"), "inside, a webhook that is down refuses: {refused}");
    namespaces.delete(&outside, &DeleteParams::default()).await?;
    Ok(())
}
