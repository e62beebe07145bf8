//! Where the thief goes: an enclave and a namespace that is none, with an object of each kind in both.

use anyhow::{Context as _, ensure};
use kube::Client;
use serde_json::{Value, json};
use tentacular_test_harness::{Part, Shared, installation::SERVER_NAMESPACE, until};

use super::{
    attempt::{Attempt, By, all_possible, all_refused, create, get},
    kinds::{Kind, VICTIM, kinds},
};
use crate::support::{client, enclave, stack};

/// One part of each account; the auditor shares the kernel's.
pub(super) const ACCOUNTS: [Part; 4] = [Part::Kernel, Part::Registrar, Part::Scheduler, Part::Webhook];

/// The places.
pub(super) struct Place {
    pub(super) enclave: String,
    pub(super) outside: String,
}

/// The administrator of the cluster.
pub(super) async fn admin() -> anyhow::Result<Client> {
    stack().await?.installation().control_plane().admin()
}

/// Whoever has the token of the part's account.
pub(super) async fn thief(part: Part) -> anyhow::Result<Client> {
    stack().await?.installation().control_plane().client_as(SERVER_NAMESPACE, part.account()).await
}

/// The places, with their victims.
pub(super) async fn place() -> anyhow::Result<&'static Place> {
    static SHARED: Shared<Place> = Shared::empty();
    SHARED.get(make).await
}

async fn make() -> anyhow::Result<Place> {
    let enclave = enclave(&client().await?, "thief").await?;
    let admin = admin().await?;
    let outside = stack().await?.installation().control_plane().namespace("outside").await?;
    for kind in kinds() {
        for namespace in [&enclave, &outside] {
            create(kind.path(namespace), kind.object(VICTIM, namespace)).send_for_real(&admin).await?;
        }
    }
    for part in [Part::Registrar, Part::Scheduler, Part::Kernel] {
        let user = format!("system:serviceaccount:{SERVER_NAMESPACE}:{}", part.account());
        let read = json!({ "verb": "list", "group": "apps", "resource": "deployments", "namespace": enclave });
        until_allowed(&admin, &user, &read).await?;
    }
    Ok(Place { enclave, outside })
}

/// Waits until RBAC allows it: what was bound just now counts a little later.
pub(crate) async fn until_allowed(admin: &Client, user: &str, what: &Value) -> anyhow::Result<()> {
    let review = json!({ "spec": { "user": user, "resourceAttributes": what } });
    let ask = create("/apis/authorization.k8s.io/v1/subjectaccessreviews", review);
    until(format!("{user} is allowed to {what}"), async || {
        let status = ask.send_for_real(admin).await?["status"].take();
        ensure!(status["allowed"] == true, "{status}");
        Ok(())
    })
    .await
}

/// The victim as it is stored.
pub(super) async fn victim(admin: &Client, kind: &Kind, namespace: &str) -> anyhow::Result<Value> {
    Ok(get(format!("{}/{VICTIM}", kind.path(namespace))).send(admin).await?)
}

/// The administrator could do each, and RBAC refuses it to each of these accounts.
pub(super) async fn refused_to(parts: &[Part], attempts: Vec<Attempt>) -> anyhow::Result<()> {
    all_possible(&admin().await?, attempts.clone()).await?;
    refused_by_rbac(parts, attempts).await
}

/// RBAC refuses each of the attempts to each of these accounts.
pub(super) async fn refused_by_rbac(parts: &[Part], attempts: Vec<Attempt>) -> anyhow::Result<()> {
    for &part in parts {
        let attempts = attempts.iter().map(|attempt| (By::Rbac, attempt.clone()));
        all_refused(&thief(part).await?, attempts).await.with_context(|| part.account())?;
    }
    Ok(())
}
