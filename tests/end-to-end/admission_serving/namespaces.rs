//! What the webhook knows of namespaces: new ones at once, and nothing that nobody confirms any more.

use anyhow::ensure;
use k8s_openapi::api::{core::v1::Namespace, rbac::v1::ClusterRoleBinding};
use kube::api::{Api, PostParams};
use serde_json::json;
use tentacular_test_harness::{FaultProxy, installation::Replica, part, tls, until};

use super::place::{ENCLAVE, Place, deployment, enclave, figure, write_in};

/// Enclaves that are made one after the other.
const ENCLAVES: usize = 30;

#[tokio::test]
async fn e2e_webhook_an_object_may_follow_its_namespace_at_once() -> anyhow::Result<()> {
    let place = Place::new().await?;
    place.register().await?;
    let _replica = place.serving("one", &[]).await?;
    let namespaces = Api::<Namespace>::all(place.admin.clone());
    for number in 0..ENCLAVES {
        let name = format!("new-{number}");
        namespaces.create(&PostParams::default(), &enclave(&name)?).await?;
        write_in(&place.admin, &name).await?;
    }
    Ok(())
}

/// Whoever has the default account of the default namespace may do everything from now on. With its token a plain HTTP
/// client sees what is answered; kube's own sends what was refused with 503 again and again.
async fn empower(place: &Place) -> anyhow::Result<()> {
    let binding: ClusterRoleBinding = serde_json::from_value(json!({ "metadata": { "name": "default" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
        "subjects": [{ "kind": "ServiceAccount", "name": "default", "namespace": "default" }] }))?;
    Api::all(place.admin.clone()).create(&PostParams::default(), &binding).await?;
    Ok(())
}

/// What the API server answers to a write in the enclave.
async fn answer(place: &Place, enclave: &str) -> anyhow::Result<String> {
    let control_plane = place.installation.control_plane();
    let url = format!("{}/apis/apps/v1/namespaces/{enclave}/deployments?dryRun=All", control_plane.url());
    let token = control_plane.token("default", "default").await?;
    let http = tls::trusting_pem(control_plane.ca_pem())?.build()?;
    Ok(http.post(url).bearer_auth(token).json(&deployment()).send().await?.text().await?)
}

async fn is_ready(replica: &Replica) -> anyhow::Result<bool> {
    let url = format!("http://{}/readyz", replica.endpoint.observe);
    Ok(tls::plain().build()?.get(url).send().await?.status().is_success())
}

#[tokio::test]
async fn e2e_webhook_what_nobody_confirms_is_refused_and_never_guessed() -> anyhow::Result<()> {
    let place = Place::new().await?;
    place.register().await?;
    let proxy = FaultProxy::start(place.installation.control_plane())?;
    let replica = place.installation.replica_through(Some(&proxy), "one", &[]).await?;
    place.service.add(replica.endpoint);
    part::ready(&replica.child).await?;
    place.asks("a replica is ready").await?;

    empower(&place).await?;
    until("the account may write", async || {
        let answer = answer(&place, ENCLAVE).await?;
        ensure!(answer.contains("\"containers\""), "{answer}");
        Ok(())
    })
    .await?;

    proxy.set_up(false).await?;
    // By somebody about whom the webhook is not asked: who administers, it cannot tell now either.
    let namespaces = Api::<Namespace>::all(place.installation.control_plane().controller()?);
    namespaces.create(&PostParams::default(), &enclave("unseen")?).await?;
    let refused = answer(&place, "unseen").await?;
    ensure!(refused.contains("does not know namespace unseen yet: try again"), "{refused}");

    until("it is asked no more", async || {
        ensure!(!is_ready(&replica).await?);
        Ok(())
    })
    .await?;
    // The connection that the API server has goes on.
    let refused = answer(&place, ENCLAVE).await?;
    ensure!(refused.contains("has not heard of the API server for 30 s"), "{refused}");
    ensure!(refused.contains("kubectl delete validatingwebhookconfiguration"), "the way out: {refused}");
    ensure!(figure(&replica, "tentacular_watch_age_seconds{watch=\"enclaves\"}").await? >= 30);

    proxy.set_up(true).await?;
    until("it is ready again", async || {
        ensure!(is_ready(&replica).await?);
        Ok(())
    })
    .await?;
    place.asks("the API server is back").await?;
    write_in(&place.admin, "unseen").await?;
    Ok(())
}
