//! Replicas end, one and all.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::json;
use tentacular_test_harness::{
    installation::{Replica, SERVER_NAMESPACE},
    until,
};
use tokio::time::sleep;

use super::{
    load::Load,
    place::{ENCLAVE, Place, answered, refusal, write},
};

/// A moment in which the load goes on.
const MOMENT: Duration = Duration::from_secs(1);

/// How the API server says that the connection ended on which it was asking.
const ENDED: [&str; 4] = ["EOF", "use of closed network connection", "connection reset by peer", "broken pipe"];

/// The replica that is being asked, and the other one: the API server goes on with the connection that it used last.
async fn in_use(one: Replica, two: Replica) -> anyhow::Result<(Replica, Replica)> {
    let before = answered(&one).await?;
    let begun = Instant::now();
    while answered(&one).await? == before {
        if begun.elapsed() > MOMENT {
            return Ok((two, one));
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok((one, two))
}

#[tokio::test]
async fn e2e_webhook_a_replica_that_is_told_to_end_is_not_missed() -> anyhow::Result<()> {
    let place = Place::new().await?;
    place.register().await?;
    let (one, two) = (place.serving("one", &[]).await?, place.serving("two", &[]).await?);
    let load = Load::start(&place.admin, &[]);
    let (asked, other) = in_use(one, two).await?;
    let before = answered(&other).await?;
    asked.child.terminate()?;
    assert_eq!(asked.child.wait().await?.code(), Some(0), "{}", asked.child.last_lines(5));
    until("the other one is asked", async || {
        ensure!(answered(&other).await? > before);
        Ok(())
    })
    .await?;
    sleep(MOMENT).await;
    let report = load.stop().await?;
    ensure!(report.failed.is_empty(), "{} of {} failed: {:?}", report.failed.len(), report.sent, report.failed);
    Ok(())
}

#[tokio::test]
async fn e2e_webhook_a_killed_replica_loses_what_it_was_answering_and_nothing_else() -> anyhow::Result<()> {
    let place = Place::new().await?;
    place.register().await?;
    let (one, two) = (place.serving("one", &[]).await?, place.serving("two", &[]).await?);
    let load = Load::start(&place.admin, &[]);
    let (asked, other) = in_use(one, two).await?;
    sleep(MOMENT).await;
    let before = answered(&other).await?;
    asked.child.kill()?;
    asked.child.wait().await?;
    // The API server hears of it a moment later.
    until("the other one is asked", async || {
        ensure!(answered(&other).await? > before);
        Ok(())
    })
    .await?;
    let over = Instant::now() + MOMENT;
    sleep(MOMENT * 3).await;
    let report = load.stop().await?;
    // A review that was being answered is lost with its connection, as the API server sends none twice.
    let with_it = |error: &str| ENDED.iter().any(|ended| error.contains(ended));
    let lost = report.failed.iter().filter(|failed| failed.begun < over && with_it(&failed.error)).count();
    ensure!(lost == report.failed.len(), "{} of {} failed: {:?}", report.failed.len(), report.sent, report.failed);
    Ok(())
}

#[tokio::test]
async fn e2e_webhook_without_a_replica_only_enclaves_wait_and_an_uninstall_frees_them() -> anyhow::Result<()> {
    let place = Place::new().await?;
    place.register().await?;
    let (one, two) = (place.serving("one", &[]).await?, place.serving("two", &[]).await?);
    for replica in [&one, &two] {
        replica.child.kill()?;
        replica.child.wait().await?;
    }
    let outside = place.installation.control_plane().namespace("outside").await?;
    let map: ConfigMap = serde_json::from_value(json!({ "metadata": { "name": "free" } }))?;
    for namespace in [outside.as_str(), SERVER_NAMESPACE, "kube-system"] {
        Api::namespaced(place.admin.clone(), namespace).create(&PostParams::default(), &map).await?;
    }
    let refused = refusal(write(&place.admin).await)?;
    ensure!(
        refused.contains("failed calling webhook") && refused.contains(".webhook.tentacular.io"),
        "the refusal names the webhook: {refused}"
    );

    // The one command of whoever has to get out, and a chart that is applied again after it.
    let passes = async || Ok(write(&place.admin).await?);
    place.configurations().delete("tentacular-webhook", &DeleteParams::default()).await?;
    until("writes in the enclave pass without the configuration", passes).await?;
    place.register().await?;
    until("the webhook is asked again", async || {
        ensure!(write(&place.admin).await.is_err());
        Ok(())
    })
    .await?;

    place.installation.uninstall().await?;
    until("writes in the enclave pass after the uninstall", passes).await?;
    for plural in
        ["validatingwebhookconfigurations", "validatingadmissionpolicies", "validatingadmissionpolicybindings"]
    {
        let list = http::Request::get(format!("/apis/admissionregistration.k8s.io/v1/{plural}")).body(Vec::new())?;
        let left = place.admin.request_text(list).await?;
        ensure!(!left.contains("\"tentacular-"), "of {plural} there is left: {left}");
    }
    let namespaces = Api::<Namespace>::all(place.admin.clone());
    namespaces.delete(ENCLAVE, &DeleteParams::default()).await?;
    until("the enclave goes", async || {
        ensure!(namespaces.get_opt(ENCLAVE).await?.is_none());
        Ok(())
    })
    .await
    .context("something holds the enclave")
}
