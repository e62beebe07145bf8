//! The certificate changes under load.

use std::time::{Duration, SystemTime};

use anyhow::ensure;
use tentacular_test_harness::installation::Replica;

use super::{
    load::Load,
    place::{Place, answered, figure, until},
};

/// The shortest life that a certificate may have: two thirds of it, and the change, are over within the test.
const SHORT: &str = "--certificate-life-seconds=60";

/// When the certificate that the replica serves expires.
async fn expiry(replica: &Replica) -> anyhow::Result<f64> {
    figure(replica, "tentacular_webhook_certificate_expiry_timestamp_seconds").await
}

#[tokio::test]
async fn e2e_webhook_a_certificate_changes_under_load_without_one_failed_write() -> anyhow::Result<()> {
    let place = Place::new().await?;
    place.register().await?;
    let (one, two) = (place.serving("one", &[SHORT]).await?, place.serving("two", &[SHORT]).await?);
    let (old, first) = (place.secret("ca.crt").await?, expiry(&one).await?);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    ensure!(first > now.as_secs_f64() && first <= (now + Duration::from_secs(61)).as_secs_f64(), "{first}");
    assert_eq!(expiry(&two).await?, first, "both serve the one in the Secret");
    let (before, load) = (answered(&one).await? + answered(&two).await?, Load::start(&place.admin, &[&one, &two]));

    let both = || async {
        let bundles = place.bundles().await?;
        Ok(bundles.iter().all(|bundle| bundle.contains(old.trim()) && bundle.trim().len() > old.trim().len()))
    };
    until("the new CA is trusted beside the old one", both).await?;
    let new = place.secret("ca.crt").await?;
    ensure!(new != old, "no other certificate was issued");
    assert_eq!([expiry(&one).await?, expiry(&two).await?], [first; 2], "and what it signed is not served yet");
    let served = || async { Ok(expiry(&one).await? > first && expiry(&two).await? > first) };
    until("both serve the new one", served).await?;
    ensure!(place.bundles().await?.iter().all(|bundle| bundle.contains(old.trim())), "the old CA left too early");
    place.until_trusted(&new).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;

    let report = load.stop().await?;
    let reviews = answered(&one).await? + answered(&two).await? - before;
    ensure!(report.failed.is_empty(), "{} of {} failed: {:?}", report.failed.len(), report.sent, report.failed);
    ensure!(reviews >= f64::from(report.sent), "{} writes, {reviews} reviews", report.sent);
    Ok(())
}
