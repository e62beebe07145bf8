//! A tentacle's pods: those with its release label, else those that its Deployment's `ReplicaSets` own. A selector
//! alone would also show what others labelled alike.

use std::collections::BTreeSet;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, ReplicaSet},
        core::v1::{ContainerStatus, Pod as LivePod},
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta},
};
use schemars::JsonSchema;
use serde::Serialize;
use tentacular_cluster::{Cluster, Error, Metadata, Selector};
use tentacular_contract::{EnclaveName, TentacleName, keys};

use crate::text;

/// Pods that are shown: more than an enclave's largest quota has room for.
const PODS: usize = 200;

/// A pod of a tentacle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Pod {
    /// Its name.
    pub(super) name: String,
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    phase: String,
    /// Whether all of its containers are ready.
    ready: bool,
    /// Why it is not ready, such as `ImagePullBackOff`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// How often its containers were started again.
    restarts: i32,
    /// The node it is on.
    #[serde(rename = "nodeName", skip_serializing_if = "Option::is_none")]
    node_name: Option<String>,
}

/// The pods of a tentacle and the `ReplicaSets` that make them.
#[derive(Debug, Default)]
pub(super) struct Family {
    pub(super) pods: Vec<Pod>,
    pub(super) replica_sets: BTreeSet<String>,
    pub(super) warning: Option<String>,
}

/// Reads the pods of a tentacle.
pub(super) async fn family(
    cluster: &Cluster,
    enclave: &EnclaveName,
    tentacle: &TentacleName,
    deployment: Option<&Deployment>,
) -> Result<Family, Error> {
    let pods = cluster.namespaced::<LivePod>(enclave.as_str());
    let release = Selector::labels(&format!("{}={tentacle}", keys::RELEASE));
    let mut found = pods.list(&release.at_most(PODS + 1)).await?;
    let mut replica_sets = BTreeSet::new();
    if let Some(deployment) = deployment
        && let Some(selector) = deployment.spec.as_ref().and_then(|spec| selector(&spec.selector))
    {
        let selector = Selector::labels(&selector);
        let sets = cluster.namespaced::<Metadata<ReplicaSet>>(enclave.as_str()).list(&selector).await?;
        let own: Vec<_> =
            sets.into_iter().map(|set| set.metadata).filter(|set| owns(&deployment.metadata, set)).collect();
        if found.is_empty() {
            found = pods.list(&selector.at_most(PODS + 1)).await?;
            found.retain(|pod| own.iter().any(|set| owns(set, &pod.metadata)));
        }
        replica_sets = own.into_iter().filter_map(|set| set.name).collect();
    }
    let warning = (found.len() > PODS).then(|| format!("only {PODS} pods are shown"));
    found.truncate(PODS);
    Ok(Family { pods: found.iter().map(shown).collect(), replica_sets, warning })
}

fn owns(owner: &ObjectMeta, object: &ObjectMeta) -> bool {
    let references = object.owner_references.as_deref().unwrap_or_default();
    owner.uid.as_ref().is_some_and(|uid| references.iter().any(|reference| reference.uid == *uid))
}

/// A selector as a query writes it; `None` for one that selects everything, and for one that cannot be written.
fn selector(selector: &LabelSelector) -> Option<String> {
    let labels = selector.match_labels.iter().flatten().map(|(key, value)| Some(format!("{key}={value}")));
    let expressions = selector.match_expressions.iter().flatten().map(|expression| {
        let (key, values) = (&expression.key, expression.values.as_deref().unwrap_or_default().join(","));
        Some(match expression.operator.as_str() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.clone(),
            "DoesNotExist" => format!("!{key}"),
            _ => return None,
        })
    });
    let parts = labels.chain(expressions).collect::<Option<Vec<_>>>()?;
    (!parts.is_empty()).then(|| parts.join(","))
}

fn shown(pod: &LivePod) -> Pod {
    let status = pod.status.as_ref();
    let containers = status.and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let condition = |kind: &str| conditions.iter().find(|condition| condition.type_ == kind);
    let ready = condition("Ready").is_some_and(|ready| ready.status == "True");
    let reason = if pod.metadata.deletion_timestamp.is_some() {
        Some("Terminating".to_owned())
    } else if ready {
        None
    } else {
        let unscheduled = condition("PodScheduled").filter(|scheduled| scheduled.status == "False");
        let own = status.and_then(|status| status.reason.clone());
        let stuck = || containers.iter().find_map(stuck);
        let waiting = || unscheduled.and_then(|scheduled| scheduled.message.clone());
        own.or_else(stuck).or_else(waiting).map(|reason| text::line(&reason))
    };
    Pod {
        name: pod.metadata.name.clone().unwrap_or_default(),
        phase: status.and_then(|status| status.phase.clone()).unwrap_or_else(|| "Unknown".to_owned()),
        ready,
        reason,
        restarts: containers.iter().map(|container| container.restart_count).sum(),
        node_name: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
    }
}

/// Why a container does not run.
fn stuck(container: &ContainerStatus) -> Option<String> {
    let state = container.state.as_ref()?;
    let waiting = state.waiting.as_ref().and_then(|waiting| waiting.reason.clone());
    waiting.or_else(|| state.terminated.as_ref().and_then(|terminated| terminated.reason.clone()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: &Value) -> Pod {
        let pod =
            json!({ "metadata": { "name": "p" }, "spec": { "containers": [], "nodeName": "n" }, "status": status });
        shown(&serde_json::from_value(pod).expect("a pod"))
    }

    #[test]
    fn a_pod_says_why_it_is_not_ready() {
        let waiting = json!({ "name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 3,
            "state": { "waiting": { "reason": "CrashLoopBackOff" } } });
        let unscheduled = json!({ "type": "PodScheduled", "status": "False", "message": "0/1 nodes\nare available" });
        for (status, ready, reason, restarts) in [
            (json!({ "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] }), true, None, 0),
            (json!({ "phase": "Running", "containerStatuses": [waiting] }), false, Some("CrashLoopBackOff"), 3),
            (json!({ "phase": "Failed", "reason": "Evicted" }), false, Some("Evicted"), 0),
            (json!({ "conditions": [unscheduled] }), false, Some("0/1 nodes are available"), 0),
            (json!({}), false, None, 0),
        ] {
            let pod = pod(&status);
            assert_eq!((pod.ready, pod.reason.as_deref(), pod.restarts), (ready, reason, restarts), "{status}");
        }
        let json = serde_json::to_value(pod(&json!({}))).expect("JSON");
        assert_eq!((&json["nodeName"], &json["phase"]), (&json!("n"), &json!("Unknown")));
    }

    #[test]
    fn a_selector_is_written_as_a_query() {
        for (object, query) in [
            (json!({ "matchLabels": { "a": "b", "c": "d" } }), Some("a=b,c=d")),
            (
                json!({ "matchExpressions": [
                    { "key": "a", "operator": "In", "values": ["b", "c"] },
                    { "key": "d", "operator": "NotIn", "values": ["e"] },
                    { "key": "f", "operator": "Exists" },
                    { "key": "g", "operator": "DoesNotExist" },
                ] }),
                Some("a in (b,c),d notin (e),f,!g"),
            ),
            (json!({}), None),
            (json!({ "matchLabels": { "a": "b" }, "matchExpressions": [{ "key": "a", "operator": "Gt" }] }), None),
        ] {
            let labels: LabelSelector = serde_json::from_value(object).expect("a selector");
            assert_eq!(selector(&labels).as_deref(), query);
        }
    }

    #[test]
    fn ownership_is_by_uid() {
        let owner = |uid: &str| ObjectMeta { uid: Some(uid.to_owned()), ..ObjectMeta::default() };
        let reference = json!({ "ownerReferences": [{ "apiVersion": "", "kind": "", "name": "", "uid": "1" }] });
        let object: ObjectMeta = serde_json::from_value(reference).expect("metadata");
        assert!(owns(&owner("1"), &object));
        assert!(!owns(&owner("2"), &object) && !owns(&ObjectMeta::default(), &object));
    }
}
