//! In a frozen enclave nothing is made to run, and all that runs can be stopped.

use anyhow::Context as _;
use serde_json::json;
use tentacular_test_harness::{Part, until};

use super::world::{account, admin, by, path, pod_spec, workloads, world};
use crate::thief::attempt::{By, all_possible, all_refused, create, delete, get, merge};

const FROZEN: By = By::Protection("frozen-enclave");

#[tokio::test]
async fn e2e_admission_no_workload_is_made_or_changed_in_a_frozen_enclave() -> anyhow::Result<()> {
    let (world, admin) = (world().await?, admin().await?);
    let attempts = |enclave: &str| {
        let deployment = format!("{}/word-count", path(enclave, "apps", "deployments"));
        let mut attempts: Vec<_> = workloads("mine", &pod_spec())
            .into_iter()
            .filter(|(_, plural, _)| *plural != "podtemplates")
            .map(|(group, plural, object)| create(path(enclave, group, plural), object))
            .collect();
        let restart = json!({ "metadata": { "annotations": { "kubectl.kubernetes.io/restartedAt": "now" } } });
        attempts.push(merge(&*deployment, json!({ "spec": { "template": restart } })));
        attempts.push(merge(&*deployment, json!({ "spec": { "replicas": 2 } })));
        attempts.push(merge(format!("{deployment}/scale"), json!({ "spec": { "replicas": 2 } })));
        // What controllers do for whoever asks them so, they do past the webhook.
        let rollback = json!({ "deprecated.deployment.rollback.to": "1" });
        attempts.push(merge(&*deployment, json!({ "metadata": { "annotations": rollback } })));
        let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "word-count" });
        let spec = json!({ "scaleTargetRef": target, "minReplicas": 3, "maxReplicas": 3 });
        let scalers = format!("/apis/autoscaling/v1/namespaces/{enclave}/horizontalpodautoscalers");
        attempts.push(create(scalers, json!({ "metadata": { "name": "more" }, "spec": spec })));
        attempts
    };
    let frozen = attempts(&world.frozen);
    for person in [&world.editor, &world.chief] {
        all_refused(&admin, by(person, &frozen).into_iter().map(|attempt| (FROZEN, attempt))).await?;
        all_possible(&admin, by(person, &attempts(&world.active))).await?;
    }
    all_possible(&admin, by(&world.administrator, &frozen)).await
}

#[tokio::test]
async fn e2e_admission_what_runs_in_a_frozen_enclave_is_not_let_go_for_another() -> anyhow::Result<()> {
    let (world, admin) = (world().await?, admin().await?);
    let (mut refused, mut possible) = (Vec::new(), Vec::new());
    for (enclave, attempts) in [(&world.frozen, &mut refused), (&world.active, &mut possible)] {
        for (group, plural) in [("", "pods"), ("apps", "replicasets")] {
            let objects = path(enclave, group, plural);
            let of_tentacle = format!("{objects}?labelSelector=pod-template-hash,tentacular.io/release=word-count");
            let name = until(format!("there is one of {plural}"), async || {
                let list = get(&*of_tentacle).send(&admin).await?;
                list["items"][0]["metadata"]["name"].as_str().map(str::to_owned).context("none yet")
            })
            .await?;
            let unlabelled = json!({ "metadata": { "labels": { "pod-template-hash": null } } });
            attempts.extend([
                merge(format!("{objects}/{name}"), unlabelled),
                merge(format!("{objects}/{name}"), json!({ "metadata": { "ownerReferences": null } })),
            ]);
        }
    }
    all_refused(&admin, by(&world.editor, &refused).into_iter().map(|attempt| (FROZEN, attempt))).await?;
    all_possible(&admin, by(&world.administrator, &refused)).await?;
    all_possible(&admin, by(&world.editor, &possible)).await
}

#[tokio::test]
async fn e2e_admission_what_runs_in_a_frozen_enclave_can_be_stopped() -> anyhow::Result<()> {
    let (world, admin) = (world().await?, admin().await?);
    let deployment = format!("{}/word-count", path(&world.frozen, "apps", "deployments"));
    let note = json!({ "metadata": { "annotations": { "note": "x" } } });
    let attempts = [
        merge(&*deployment, json!({ "spec": { "replicas": 0 } })),
        merge(format!("{deployment}/scale"), json!({ "spec": { "replicas": 0 } })),
        merge(&*deployment, json!({ "spec": { "paused": true } })),
        merge(&*deployment, note.clone()),
        delete(&*deployment),
        delete(path(&world.frozen, "", "pods")),
        create(path(&world.frozen, "", "configmaps"), json!({ "metadata": { "name": "notes" } })),
    ];
    all_possible(&admin, by(&world.editor, &attempts)).await?;
    all_possible(&admin, by(&account(Part::Registrar), &[merge(&*deployment, note), delete(&*deployment)])).await
}
