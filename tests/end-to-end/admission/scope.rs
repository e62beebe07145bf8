//! What the webhook is asked about, in a control plane of its own: enclaves, and nothing else.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tentacular_test_harness::{ControlPlane, Installation, Part, installation::SERVER_NAMESPACE, part};

use super::world::{path, pod_spec, workloads};
use crate::{
    support::unique,
    thief::attempt::{Attempt, create, merge},
};

/// How long a living cluster is looked at.
const LOOKED_AT: Duration = Duration::from_mins(1);

/// How many reviews the webhook has answered.
async fn reviews(installation: &Installation) -> anyhow::Result<u64> {
    let webhook = installation.webhook().context("a webhook")?;
    let address = part::logged(webhook, "observing", "address").await?;
    let text = reqwest::get(format!("http://{address}/metrics")).await?.text().await?;
    let counts = text.lines().filter(|line| line.starts_with("tentacular_webhook_decisions_total{"));
    Ok(counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
}

/// A Deployment of two pods that every level allows.
fn deployment() -> Value {
    let (_, _, mut deployment) = workloads("living", &pod_spec()).remove(4);
    deployment["spec"]["replicas"] = json!(2);
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = json!("localhost/none:1");
    deployment
}

fn labelled(name: &str) -> anyhow::Result<Namespace> {
    let labels =
        json!({ "app.kubernetes.io/managed-by": "tentacular", "pod-security.kubernetes.io/enforce": "restricted" });
    Ok(serde_json::from_value(json!({ "metadata": { "name": name, "labels": labels } }))?)
}

/// What people and controllers do outside of enclaves, and what goes on in one by itself.
fn everyday(outside: &str, enclave: &str, round: u32) -> Vec<Attempt> {
    let note = json!({ "metadata": { "annotations": { "round": round.to_string() } } });
    let named = |name: &str| json!({ "metadata": { "name": format!("{name}-{round}") } });
    let lease = |namespace: &str| path(namespace, "coordination.k8s.io", "leases");
    let ledger = json!({ "metadata": {
        "name": format!("tentacular-runs-{round}"), "labels": { "tentacular.io/ledger": "true" },
    } });
    vec![
        merge(format!("{}/living", path(outside, "apps", "deployments")), note.clone()),
        merge(format!("/api/v1/namespaces/{outside}"), note.clone()),
        create(path(outside, "", "configmaps"), named("map")),
        create(path(outside, "", "secrets"), named("secret")),
        create(path("kube-system", "", "configmaps"), named("map")),
        create(path(SERVER_NAMESPACE, "", "secrets"), named("secret")),
        create(lease("kube-system"), named("lease")),
        create(lease(SERVER_NAMESPACE), named("lease")),
        create(lease(enclave), named("lease")),
        create(path(enclave, "", "configmaps"), ledger).all_powerful(Part::Scheduler),
    ]
}

#[tokio::test]
async fn e2e_admission_a_living_cluster_asks_only_about_what_is_written_in_enclaves() -> anyhow::Result<()> {
    let installation = Installation::install(ControlPlane::exclusive().await?).await?;
    let control_plane = installation.control_plane();
    let admin = control_plane.admin()?;
    let (outside, enclave) = (control_plane.namespace("outside").await?, unique("inside"));
    Api::<Namespace>::all(admin.clone()).create(&PostParams::default(), &labelled(&enclave)?).await?;
    for namespace in [&outside, &enclave] {
        let living = create(path(namespace, "apps", "deployments"), deployment());
        living.send_for_real(&admin).await?;
    }
    let before = reviews(&installation).await?;
    assert!(before >= 2, "it is asked about an enclave and its Deployment: {before}");
    let begun = Instant::now();
    let mut round = 0;
    while begun.elapsed() < LOOKED_AT {
        for attempt in everyday(&outside, &enclave, round) {
            attempt.send_for_real(&admin).await.map_err(|error| anyhow::anyhow!("{attempt:?}: {error}"))?;
        }
        for namespace in [&outside, &enclave] {
            // Its ReplicaSet makes another.
            let pods: Api<Pod> = Api::namespaced(admin.clone(), namespace);
            if let Some(pod) = pods.list(&ListParams::default()).await?.items.pop() {
                pods.delete(pod.metadata.name.as_deref().unwrap_or_default(), &DeleteParams::default()).await?;
            }
        }
        round += 1;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let asked = reviews(&installation).await? - before;
    assert_eq!(asked, 0, "{asked} reviews of what is none of its business");
    let map = create(path(&enclave, "", "configmaps"), json!({ "metadata": { "name": "map" } }));
    map.send_for_real(&admin).await?;
    assert!(reviews(&installation).await? > before, "it was asked all the time");
    Ok(())
}

#[tokio::test]
async fn e2e_admission_nothing_outside_an_enclave_waits_for_the_webhook() -> anyhow::Result<()> {
    let installation = Installation::install(ControlPlane::exclusive().await?).await?;
    let admin = installation.control_plane().admin()?;
    let webhook = installation.webhook().context("a webhook")?;
    webhook.kill()?;
    webhook.wait().await?;
    let outside = installation.control_plane().namespace("outside").await?;
    let map: ConfigMap = serde_json::from_value(json!({ "metadata": { "name": "free" } }))?;
    Api::<ConfigMap>::namespaced(admin.clone(), &outside).create(&PostParams::default(), &map).await?;
    let namespaces: Api<Namespace> = Api::all(admin.clone());
    let note = json!({ "metadata": { "annotations": { "tentacular.io/mode": "nonsense" } } });
    namespaces.patch(&outside, &PatchParams::default(), &Patch::Merge(note)).await?;
    let refused = namespaces.create(&PostParams::default(), &labelled(&unique("inside"))?).await;
    let refused = refused.err().context("inside, a webhook that is down refuses")?.to_string();
    assert!(refused.contains("failed calling webhook"), "{refused}");
    namespaces.delete(&outside, &DeleteParams::default()).await?;
    Ok(())
}
