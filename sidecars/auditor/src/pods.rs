//! A pod as results show it.

use k8s_openapi::{api::core::v1::Pod as LivePod, jiff::Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use tentacular_contract::pod_state::why_not_ready;

use crate::{clock::age, text, view::Belongs};

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Pod {
    /// Its name.
    pub(crate) name: String,
    /// The tentacle that it belongs to; left out when it belongs to none.
    #[serde(skip_serializing_if = "Option::is_none")]
    tentacle: Option<String>,
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    phase: String,
    /// Whether all of its containers are ready.
    ready: bool,
    /// Why it is not ready, in one sentence, such as `container engine: ImagePullBackOff: Back-off pulling image "x"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// How often its containers were started again, all together.
    restarts: i32,
    /// Time since its creation, such as `72h3m0s`.
    age: String,
    /// The images of its containers.
    images: Vec<String>,
    /// The node it is on.
    #[serde(rename = "nodeName", skip_serializing_if = "Option::is_none")]
    node_name: Option<String>,
}

/// The pod as it is shown.
pub(crate) fn shown(belongs: Belongs, pod: &LivePod, now: Timestamp) -> Pod {
    let (metadata, spec, status) = (&pod.metadata, pod.spec.as_ref(), pod.status.as_ref());
    let statuses =
        |of: fn(&_) -> &Option<Vec<_>>| status.and_then(|status| of(status).as_deref()).unwrap_or_default();
    let containers = statuses(|status: &k8s_openapi::api::core::v1::PodStatus| &status.container_statuses);
    let inits = statuses(|status| &status.init_container_statuses);
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let going = metadata.deletion_timestamp.is_some().then(|| "is being deleted".to_owned());
    Pod {
        name: metadata.name.clone().unwrap_or_default(),
        tentacle: belongs.tentacle(),
        phase: status.and_then(|status| status.phase.clone()).unwrap_or_else(|| "Unknown".to_owned()),
        ready: conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"),
        reason: going.or_else(|| why_not_ready(pod)).map(|reason| text::line(&reason)),
        restarts: containers.iter().chain(inits).map(|container| container.restart_count).sum(),
        age: age(now, metadata.creation_timestamp.as_ref().map_or(now, |time| time.0)),
        images: spec
            .map(|spec| spec.containers.iter().filter_map(|container| container.image.as_deref()).map(text::line))
            .into_iter()
            .flatten()
            .collect(),
        node_name: spec.and_then(|spec| spec.node_name.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(metadata: &Value, status: &Value) -> Value {
        let mut pod = json!({
            "metadata": { "name": "p", "creationTimestamp": "2026-01-01T00:00:00Z" },
            "spec": { "nodeName": "n", "containers": [{ "name": "c", "image": "i:1" }, { "name": "d" }] },
            "status": status,
        });
        pod["metadata"].as_object_mut().expect("members").extend(metadata.as_object().expect("members").clone());
        let now = "2026-01-01T01:00:00Z".parse().expect("a time");
        let pod = serde_json::from_value(pod).expect("a pod");
        serde_json::to_value(shown(Belongs::To("report".to_owned()), &pod, now)).expect("JSON")
    }

    #[test]
    fn a_pod_is_shown_with_what_clients_read() {
        let container = |restarts: i32, state: Value| json!({ "name": "c", "image": "", "imageID": "", "ready": false, "restartCount": restarts, "state": state });
        let crashing = json!({ "waiting": { "reason": "CrashLoopBackOff", "message": "back-off\n40s" } });
        let status = json!({
            "phase": "Running",
            "initContainerStatuses": [container(1, json!({ "terminated": { "exitCode": 0 } }))],
            "containerStatuses": [container(3, crashing)],
        });
        assert_eq!(
            pod(&json!({}), &status),
            json!({
                "name": "p", "tentacle": "report", "phase": "Running", "ready": false, "restarts": 4, "age": "1h0m0s",
                "images": ["i:1"], "nodeName": "n", "reason": "container c: CrashLoopBackOff: back-off 40s",
            })
        );
    }

    #[test]
    fn a_pod_is_ready_or_says_why_not() {
        let ready = json!({ "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] });
        let well = pod(&json!({}), &ready);
        assert_eq!((&well["ready"], &well["reason"]), (&json!(true), &Value::Null));
        let going = pod(&json!({ "deletionTimestamp": "2026-01-01T00:30:00Z" }), &ready);
        assert_eq!(going["reason"], "is being deleted");
        let new = pod(&json!({}), &json!({}));
        assert_eq!((&new["phase"], &new["ready"]), (&json!("Unknown"), &json!(false)));
        assert_eq!(new["reason"], "has not been started by its node yet");
    }
}
