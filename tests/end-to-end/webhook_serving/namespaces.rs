//! What the webhook knows of namespaces: new ones at once, and nothing that nobody confirms any more.

use anyhow::ensure;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, PostParams};
use tentacular_test_harness::{FaultProxy, installation::Replica, part, tls};

use super::place::{Place, enclave, figure, refusal, until, write, write_in};

/// Enclaves that are made one after the other.
const ENCLAVES: usize = 30;

#[tokio::test]
async fn e2e_webhook_an_object_may_follow_its_namespace_at_once() -> anyhow::Result<()> {
    let place = Place::new().await?;
    place.register().await?;
    place.serving("one", &[]).await?;
    let namespaces = Api::<Namespace>::all(place.admin.clone());
    for number in 0..ENCLAVES {
        let name = format!("new-{number}");
        namespaces.create(&PostParams::default(), &enclave(&name)?).await?;
        write_in(&place.admin, &name).await?;
    }
    Ok(())
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

    proxy.set_up(false).await?;
    let namespaces = Api::<Namespace>::all(place.admin.clone());
    namespaces.create(&PostParams::default(), &enclave("unseen")?).await?;
    let refused = refusal(write_in(&place.admin, "unseen").await)?;
    ensure!(refused.contains("does not know namespace unseen yet: try again"), "{refused}");

    until("it is asked no more", || async { Ok(!is_ready(&replica).await?) }).await?;
    // The connection that the API server has goes on.
    let refused = refusal(write(&place.admin).await)?;
    ensure!(refused.contains("has not heard of the API server for 30 s"), "{refused}");
    ensure!(refused.contains("kubectl delete validatingwebhookconfiguration"), "the way out: {refused}");
    ensure!(figure(&replica, "tentacular_watch_age_seconds{watch=\"namespaces\"}").await? >= 30.0);

    proxy.set_up(true).await?;
    until("it is ready again", || async { is_ready(&replica).await }).await?;
    place.asks("the API server is back").await?;
    write_in(&place.admin, "unseen").await?;
    Ok(())
}
