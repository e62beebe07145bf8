//! Waiting until the pods of a tentacle are as its Deployment says.

use std::time::Duration;

use k8s_openapi::api::{
    apps::v1::{Deployment, DeploymentSpec, DeploymentStatus},
    core::v1::Pod,
};
use schemars::JsonSchema;
use serde::Serialize;
use tentacular_cluster::{Cluster, Error, Selector};
use tentacular_contract::{EnclaveName, TentacleName, keys, pod_state::why_not_ready};
use tentacular_process::link::Permitted;
use tokio::time::{Instant, sleep};

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// After so long a caller who waits is told how far it is, and again as often.
const TELL: Duration = Duration::from_secs(2);
/// Pods of which is told why they do not start.
const PODS: usize = 10;
/// Label of a pod that a Deployment's `ReplicaSet` made: the end of the `ReplicaSet`'s name.
const HASH: &str = "pod-template-hash";

/// How far the pods of the tentacle's own Deployment are; further Deployments of it are not waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Rollout {
    /// Whether all pods of the tentacle's own Deployment are new and ready. false: the wait ended before that.
    pub(crate) ready: bool,
    /// How many pods there are to be.
    replicas: i32,
    /// How many pods are of the newest kind.
    updated: i32,
    /// How many pods are ready.
    available: i32,
    /// Why it is not ready: a sentence for each pod and each other obstacle.
    problems: Vec<String>,
}

/// Waits until the Deployment that the tentacle is has rolled out, cannot any more, or `until` has come.
pub(crate) async fn wait(
    cluster: &Cluster,
    (enclave, tentacle): (&EnclaveName, &TentacleName),
    until: Instant,
    permitted: &Permitted,
) -> Result<Rollout, Error> {
    let deployments = cluster.namespaced::<Deployment>(enclave.as_str());
    let begun = Instant::now();
    let mut tell = begun + TELL;
    loop {
        let Some(deployment) = deployments.get(tentacle.as_str()).await? else {
            let object = format!("Deployment {enclave}/{tentacle}");
            return Err(Error::NotFound { object });
        };
        let mut rollout = progress(&deployment);
        let now = Instant::now();
        let ends = rollout.ready || is_hopeless(&deployment) || now >= until;
        if !rollout.ready && (ends || now >= tell) {
            rollout.problems.extend(obstacles(cluster, (enclave, tentacle)).await?);
            if rollout.problems.is_empty() {
                let Rollout { replicas, updated, .. } = &rollout;
                let so_far = format!("{updated} of {replicas} pods are of the newest kind so far");
                rollout.problems.push(so_far);
            }
        }
        if ends {
            return Ok(rollout);
        }
        if now >= tell {
            let Rollout { replicas, available, problems, .. } = &rollout;
            let message = format!("{available} of {replicas} pods ready; {}", problems.join("; "));
            permitted.progress(begun.elapsed().as_secs_f64(), None, message).await;
            tell = now + TELL;
        }
        sleep(LOOK).await;
    }
}

/// What the Deployment says of its own rollout, in the way of `kubectl rollout status`.
fn progress(deployment: &Deployment) -> Rollout {
    let DeploymentSpec { replicas, paused, .. } = deployment.spec.clone().unwrap_or_default();
    let status = deployment.status.clone().unwrap_or_default();
    let count = |number: Option<i32>| number.unwrap_or_default();
    let (replicas, updated, available) =
        (replicas.unwrap_or(1), count(status.updated_replicas), count(status.available_replicas));
    let seen = status.observed_generation >= deployment.metadata.generation;
    let old = count(status.replicas) - updated;
    let mut problems: Vec<_> = failures(&status).collect();
    if paused == Some(true) {
        problems.push("the rollouts of the Deployment are paused (spec.paused)".to_owned());
    }
    let ready = seen && updated >= replicas && old <= 0 && available >= updated && problems.is_empty();
    Rollout { ready, replicas, updated, available, problems }
}

/// Whether all pods of the Deployment are new and ready.
pub(super) fn is_complete(deployment: &Deployment) -> bool {
    progress(deployment).ready
}

/// Why no pods can be made, such as a quota, and that it took too long.
fn failures(status: &DeploymentStatus) -> impl Iterator<Item = String> {
    let conditions = status.conditions.iter().flatten();
    let failed = conditions.filter(|condition| {
        (condition.type_ == "ReplicaFailure" && condition.status == "True")
            || (condition.type_ == "Progressing" && condition.status == "False")
    });
    failed.map(|condition| condition.message.clone().or_else(|| condition.reason.clone()).unwrap_or_default())
}

/// Whether waiting longer is of no use: Kubernetes itself has given up, or nothing rolls out at all.
fn is_hopeless(deployment: &Deployment) -> bool {
    let status = deployment.status.clone().unwrap_or_default();
    let seen = status.observed_generation >= deployment.metadata.generation;
    let conditions = status.conditions.unwrap_or_default();
    let given_up = conditions.iter().any(|condition| {
        condition.type_ == "Progressing" && condition.reason.as_deref() == Some("ProgressDeadlineExceeded")
    });
    seen && (given_up || deployment.spec.as_ref().is_some_and(|spec| spec.paused == Some(true)))
}

/// Why the tentacle's pods are not ready.
async fn obstacles(
    cluster: &Cluster,
    (enclave, tentacle): (&EnclaveName, &TentacleName),
) -> Result<Vec<String>, Error> {
    let release = Selector::labels(&format!("{}={tentacle}", keys::RELEASE));
    let pods = cluster.namespaced::<Pod>(enclave.as_str()).list(&release).await?;
    let told = pods.iter().filter(|pod| is_made_for(tentacle, pod)).filter_map(|pod| {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        why_not_ready(pod).map(|why| format!("pod {name} {why}"))
    });
    Ok(told.take(PODS).collect())
}

/// Whether the pod was made for the Deployment that the tentacle is. Its `ReplicaSet` is named after the Deployment and the
/// pod's hash, and a release may have other Deployments with a longer name.
fn is_made_for(tentacle: &TentacleName, Pod { metadata, .. }: &Pod) -> bool {
    let hash = metadata.labels.as_ref().and_then(|labels| labels.get(HASH));
    let mut owners = metadata.owner_references.iter().flatten();
    hash.is_some_and(|hash| {
        let name = format!("{tentacle}-{hash}");
        owners.any(|owner| owner.kind == "ReplicaSet" && owner.name == name)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn deployment(status: &Value, more: &Value) -> Deployment {
        let mut spec = json!({ "replicas": 2, "selector": {}, "template": {} });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let metadata = json!({ "name": "a", "generation": 3 });
        serde_json::from_value(json!({ "metadata": metadata, "spec": spec, "status": status })).unwrap()
    }

    #[test]
    fn it_is_ready_when_every_pod_is_new_and_available() {
        let status = |generation: i64, all: i32, updated: i32, available: i32| {
            json!({
                "observedGeneration": generation, "replicas": all, "updatedReplicas": updated,
                "availableReplicas": available,
            })
        };
        for (status, ready) in [
            (status(3, 2, 2, 2), true),
            (status(2, 2, 2, 2), false),
            (status(3, 3, 2, 2), false),
            (status(3, 2, 1, 2), false),
            (status(3, 2, 2, 1), false),
            (json!({}), false),
        ] {
            assert_eq!(progress(&deployment(&status, &json!({}))).ready, ready, "{status}");
        }
        let none = deployment(&json!({ "observedGeneration": 3 }), &json!({ "replicas": 0 }));
        assert!(progress(&none).ready);
    }

    #[test]
    fn only_the_pods_of_the_deployment_itself_are_looked_at() {
        let pod = |replica_set: &str, hash: &str| -> Pod {
            let owner = json!({ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": replica_set, "uid": "u" });
            let labels = json!({ "tentacular.io/release": "a", HASH: hash });
            serde_json::from_value(json!({ "metadata": { "labels": labels, "ownerReferences": [owner] } })).unwrap()
        };
        let tentacle = "a".parse().unwrap();
        assert!(is_made_for(&tentacle, &pod("a-5d4f", "5d4f")));
        assert!(!is_made_for(&tentacle, &pod("a-worker-5d4f", "5d4f")));
        assert!(!is_made_for(&tentacle, &Pod::default()));
    }

    #[test]
    fn what_kubernetes_says_against_it_is_told() {
        let condition = |type_: &str, status: &str, reason: &str| json!({ "type": type_, "status": status, "reason": reason, "message": "exceeded quota" });
        let failing =
            json!({ "observedGeneration": 3, "conditions": [condition("ReplicaFailure", "True", "FailedCreate")] });
        let failing = deployment(&failing, &json!({}));
        assert_eq!(progress(&failing).problems, ["exceeded quota"]);
        assert!(!is_hopeless(&failing), "a quota may be raised");
        let late = condition("Progressing", "False", "ProgressDeadlineExceeded");
        assert!(is_hopeless(&deployment(&json!({ "observedGeneration": 3, "conditions": [late] }), &json!({}))));
        let paused = deployment(&json!({ "observedGeneration": 3 }), &json!({ "paused": true }));
        assert!(is_hopeless(&paused) && progress(&paused).problems[0].contains("paused"));
    }
}
