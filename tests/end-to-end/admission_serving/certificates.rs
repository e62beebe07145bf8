//! Where the certificate comes from, and what becomes of it when somebody meddles with it.

use std::{collections::BTreeMap, time::Duration};

use anyhow::ensure;
use k8s_openapi::{
    ByteString,
    api::{
        core::v1::Secret,
        rbac::v1::{Role, RoleBinding},
    },
};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tentacular_test_harness::{installation::SERVER_NAMESPACE, part, tls::Authority, until};

use super::{load::Load, place::Place};

/// Looks every second, so that what is put back is put back within the test.
const SHORT: &str = "--certificate-life-seconds=60";
const PROVIDED: &str = "provided-webhook-certificate";

#[tokio::test]
async fn e2e_webhook_a_replica_that_is_there_before_its_secret_waits_for_it() -> anyhow::Result<()> {
    let place = Place::new().await?;
    let replica = place.start("early", &[]).await?;
    until("it says what is missing", async || {
        let log = replica.child.log();
        ensure!(log.contains("Secret tentacular-webhook-tls does not exist"), "{log}");
        Ok(())
    })
    .await?;
    ensure!(replica.child.is_running(), "{}", replica.child.last_lines(3));
    place.register().await?;
    part::ready(&replica.child).await?;
    place.asks("the Secret is there").await
}

#[tokio::test]
async fn e2e_webhook_what_somebody_takes_away_is_put_back() -> anyhow::Result<()> {
    let place = Place::new().await?;
    place.register().await?;
    let replica = place.serving("one", &[SHORT]).await?;
    let ca = place.secret("ca.crt").await?;
    for gone in [Value::Null, json!("")] {
        place.set_bundles(gone).await?;
        until("the CA is back", async || {
            ensure!(place.bundles().await?.iter().all(|bundle| bundle.contains(ca.trim())));
            Ok(())
        })
        .await?;
    }
    place.asks("the CA is back").await?;

    let load = Load::start(&place.admin, &[&replica]);
    let empty = Patch::Merge(json!({ "data": null }));
    place.secrets().patch("tentacular-webhook-tls", &PatchParams::default(), &empty).await?;
    until("another certificate is issued", async || {
        ensure!(![String::new(), ca.clone()].contains(&place.secret("ca.crt").await?));
        Ok(())
    })
    .await?;
    let new = place.secret("ca.crt").await?;
    place.until_trusted(&new).await?;
    let report = load.stop().await?;
    ensure!(report.failed.is_empty(), "{} of {} failed: {:?}", report.failed.len(), report.sent, report.failed);
    ensure!(replica.child.is_running(), "{}", replica.child.last_lines(3));
    Ok(())
}

/// What cert-manager writes: the CA, the certificate, the key.
fn secret(authority: &Authority, life: Duration) -> anyhow::Result<Secret> {
    let service = format!("tentacular-webhook.{SERVER_NAMESPACE}.svc");
    let names = [service.as_str(), &format!("{service}.cluster.local"), "127.0.0.1"];
    let pair = authority.lasting(&names, life)?;
    let data = [("ca.crt", authority.pem()), ("tls.crt", pair.certificate), ("tls.key", pair.key)];
    let data = data.map(|(key, text)| (key.to_owned(), ByteString(text.into_bytes())));
    let mut secret: Secret =
        serde_json::from_value(json!({ "metadata": { "name": PROVIDED }, "type": "kubernetes.io/tls" }))?;
    secret.data = Some(BTreeMap::from(data));
    Ok(secret)
}

/// What an administrator adds to the chart's rights for a Secret of another name.
async fn allow(place: &Place) -> anyhow::Result<()> {
    let right = json!({ "apiGroups": [""], "resources": ["secrets"], "resourceNames": [PROVIDED], "verbs": ["get"] });
    let role: Role = serde_json::from_value(json!({ "metadata": { "name": PROVIDED }, "rules": [right] }))?;
    let binding: RoleBinding = serde_json::from_value(json!({ "metadata": { "name": PROVIDED },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": PROVIDED },
        "subjects": [{ "kind": "ServiceAccount", "name": "tentacular-webhook", "namespace": SERVER_NAMESPACE }] }))?;
    let params = PostParams::default();
    Api::namespaced(place.admin.clone(), SERVER_NAMESPACE).create(&params, &role).await?;
    Api::namespaced(place.admin.clone(), SERVER_NAMESPACE).create(&params, &binding).await?;
    Ok(())
}

#[tokio::test]
async fn e2e_webhook_a_provided_certificate_is_served_and_its_renewal_seen() -> anyhow::Result<()> {
    let place = Place::new().await?;
    place.register().await?;
    allow(&place).await?;
    let (old, new) = (Authority::new()?, Authority::new()?);
    let replica = place.start("one", &[&format!("--certificate-secret={PROVIDED}")]).await?;
    until("it says what is missing", async || {
        let log = replica.child.log();
        ensure!(log.contains(&format!("Secret {PROVIDED} does not exist")), "{log}");
        Ok(())
    })
    .await?;
    // Its life says how fast a change goes: this one is looked at every two seconds.
    let life = Duration::from_mins(2);
    place.secrets().create(&PostParams::default(), &secret(&old, life)?).await?;
    part::ready(&replica.child).await?;
    place.asks("a certificate is provided").await?;
    ensure!(place.bundles().await?.iter().all(|bundle| bundle.trim() == old.pem().trim()), "its CA is trusted");

    let load = Load::start(&place.admin, &[&replica]);
    // By another CA, which is the hardest case.
    let renewed = Patch::Merge(json!({ "data": secret(&new, life)?.data }));
    place.secrets().patch(PROVIDED, &PatchParams::default(), &renewed).await?;
    place.until_trusted(&new.pem()).await?;
    let report = load.stop().await?;
    ensure!(report.failed.is_empty(), "{} of {} failed: {:?}", report.failed.len(), report.sent, report.failed);
    assert_eq!(place.secret("tls.crt").await?, "", "nothing is issued");
    Ok(())
}
