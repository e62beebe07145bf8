//! The certificate changes under load.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tentacular_test_harness::{installation::Replica, until};

use super::{
    load::Load,
    place::{Place, answered, figure},
};

/// The shortest life that a certificate may have: two thirds of it, and the change, are over within the test.
const SHORT: &str = "--certificate-life-seconds=60";

/// The least time that a CA is trusted before what it signed is served: a twelfth of that life.
const SETTLE: SignedDuration = SignedDuration::from_secs(5);
const WRITTEN: &str = "the CA is written";

/// When these replicas logged lines with both texts, in order.
fn times(replicas: &[&Replica], message: &str, field: &str) -> Vec<Timestamp> {
    let logs: Vec<_> = replicas.iter().map(|replica| replica.child.log()).collect();
    let lines = logs.iter().flat_map(|log| log.lines()).filter(|line| line.contains(message) && line.contains(field));
    let values = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut times: Vec<Timestamp> = values.filter_map(|line| line["timestamp"].as_str()?.parse().ok()).collect();
    times.sort_unstable();
    times
}

/// When the certificate that the replica serves expires.
async fn expiry(replica: &Replica) -> anyhow::Result<u64> {
    figure(replica, "tentacular_webhook_certificate_expiry_timestamp_seconds").await
}

#[tokio::test]
async fn e2e_webhook_a_certificate_changes_under_load_without_one_failed_write() -> anyhow::Result<()> {
    let place = Place::new().await?;
    place.register().await?;
    let (one, two) = (place.serving("one", &[SHORT]).await?, place.serving("two", &[SHORT]).await?);
    let (old, first) = (place.secret("ca.crt").await?, expiry(&one).await?);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    ensure!(first > now && first <= now + 61, "expires at {first}, it is {now}");
    assert_eq!(expiry(&two).await?, first, "both serve the one in the Secret");
    let (before, load) = (answered(&one).await? + answered(&two).await?, Load::start(&place.admin, &[&one, &two]));

    until("the new CA is trusted beside the old one", async || {
        let bundles = place.bundles().await?;
        let both = |bundle: &String| bundle.contains(old.trim()) && bundle.trim().len() > old.trim().len();
        ensure!(bundles.iter().all(both));
        Ok(())
    })
    .await?;
    let new = place.secret("ca.crt").await?;
    ensure!(new != old, "no other certificate was issued");
    until("both serve the new one", async || {
        ensure!(expiry(&one).await? > first && expiry(&two).await? > first);
        Ok(())
    })
    .await?;
    place.until_trusted(&new).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;

    let report = load.stop().await?;
    let reviews = answered(&one).await? + answered(&two).await? - before;
    ensure!(report.failed.is_empty(), "{} of {} failed: {:?}", report.failed.len(), report.sent, report.failed);
    ensure!(reviews >= u64::from(report.sent), "{} writes, {reviews} reviews", report.sent);

    // By their own clocks, however slow this machine is.
    let issued = times(&[&one, &two], "issuing a certificate", "").into_iter().max();
    let added = times(&[&one, &two], WRITTEN, "\"alone\":false").into_iter().find(|time| Some(*time) > issued);
    let served = [&one, &two].map(|replica| times(&[replica], "another certificate is served", "").into_iter().max());
    let left = times(&[&one, &two], WRITTEN, "\"alone\":true").into_iter().max();
    let settled = added.context("no CA joined")? + SETTLE;
    ensure!(served.iter().all(|served| *served >= Some(settled)), "{served:?} is too early: {settled}");
    ensure!(served.iter().all(|served| *served < left), "the old CA left at {left:?}, before {served:?}");
    Ok(())
}
