//! Why a pod is not ready, in one sentence for a person, told from its status alone.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};

use crate::text;

/// Characters of a message of Kubernetes that are told.
const CHARACTERS: usize = 300;
/// Reasons that only say that a container has not begun yet.
const BEGINNING: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// Why `pod` is not ready; `None` when it is ready, has done its work, or is being deleted.
///
/// Messages come from the kubelet and from whoever wrote the pod: what does not show is taken out, and of each no more
/// than 300 characters are told.
pub fn why_not_ready(pod: &Pod) -> Option<String> {
    let status = pod.status.clone().unwrap_or_default();
    let phase = status.phase.as_deref().unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let condition = |type_: &str| conditions.iter().find(|condition| condition.type_ == type_);
    let is = |type_: &str, value: &str| condition(type_).is_some_and(|condition| condition.status == value);
    if pod.metadata.deletion_timestamp.is_some() || phase == "Succeeded" || is("Ready", "True") {
        return None;
    }
    // A pod has a reason of its own where it failed as a whole, or its node is not heard of any more.
    if phase == "Failed" || status.reason.is_some() {
        let (reason, message) = (status.reason.as_deref(), status.message.as_deref());
        let said = said(reason.unwrap_or(phase), message);
        let containers = status.container_statuses.unwrap_or_default();
        return Some(containers.iter().find_map(ended).map_or(said.clone(), |ended| format!("{said}; {ended}")));
    }
    if let Some(unscheduled) = condition("PodScheduled").filter(|condition| condition.status == "False") {
        let reason = unscheduled.reason.as_deref().unwrap_or("Unschedulable");
        return Some(format!("cannot be placed on a node: {}", said(reason, unscheduled.message.as_deref())));
    }
    let containers =
        status.init_container_statuses.into_iter().flatten().chain(status.container_statuses.into_iter().flatten());
    let containers: Vec<_> = containers.collect();
    let gated = || {
        let gates = pod.spec.as_ref()?.readiness_gates.as_ref()?;
        let open = gates.iter().find(|gate| !is(&gate.condition_type, "True"))?;
        Some(format!("waits for its readiness gate {}", plain(&open.condition_type)))
    };
    containers
        .iter()
        .find_map(trouble)
        .or_else(|| containers.iter().find_map(delay))
        .or_else(gated)
        .or_else(|| Some("has not been started by its node yet".to_owned()))
}

/// What is wrong with a container, if anything is.
fn trouble(container: &ContainerStatus) -> Option<String> {
    let state = container.state.clone().unwrap_or_default();
    if let Some(waiting) = state.waiting {
        let reason = waiting.reason.filter(|reason| !BEGINNING.contains(&reason.as_str()))?;
        let said = said(&reason, waiting.message.as_deref());
        return Some(format!("container {}: {said}{}", plain(&container.name), last(container)));
    }
    ended(container)
}

/// How a container that was started again had ended before, where it had not done well.
fn last(container: &ContainerStatus) -> String {
    let told = |exit| {
        let count = container.restart_count;
        format!("; it ended {exit} the last time, after {count} restart{}", if count == 1 { "" } else { "s" })
    };
    exit(container.last_state.as_ref()).map(told).unwrap_or_default()
}

/// How a container ended, unless it did well.
fn ended(container: &ContainerStatus) -> Option<String> {
    exit(container.state.as_ref()).map(|exit| format!("container {} ended {exit}", plain(&container.name)))
}

fn exit(state: Option<&ContainerState>) -> Option<String> {
    let terminated = state?.terminated.as_ref().filter(|terminated| terminated.exit_code != 0)?;
    let reason = terminated.reason.as_deref().unwrap_or("Error");
    let said = said(reason, terminated.message.as_deref());
    Some(format!("with exit code {} ({said})", terminated.exit_code))
}

/// What a container that nothing is wrong with still needs, if anything.
fn delay(container: &ContainerStatus) -> Option<String> {
    let name = plain(&container.name);
    let state = container.state.clone().unwrap_or_default();
    match (state.running, container.ready) {
        (_, true) => None,
        (Some(_), false) => {
            Some(format!("container {name} runs, and its readiness probe has not succeeded{}", last(container)))
        }
        (None, false) if state.terminated.is_some() => None,
        (None, false) => Some(format!("container {name} is being created")),
    }
}

fn said(reason: &str, message: Option<&str>) -> String {
    match message.map(plain).filter(|message| !message.is_empty()) {
        Some(message) => format!("{}: {message}", plain(reason)),
        None => plain(reason),
    }
}

fn plain(text: &str) -> String {
    text::line(text, CHARACTERS)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn why(status: &Value) -> Option<String> {
        why_not_ready(&serde_json::from_value(json!({ "metadata": { "name": "p" }, "status": status })).unwrap())
    }

    fn container(state: &Value) -> Value {
        let mut container =
            json!({ "name": "engine", "image": "i", "imageID": "", "ready": false, "restartCount": 4 });
        container.as_object_mut().unwrap().extend(state.as_object().unwrap().clone());
        json!({ "phase": "Pending", "containerStatuses": [container] })
    }

    #[test]
    fn each_cause_is_one_sentence() {
        let waiting = |reason: &str, message: &str| json!({ "waiting": { "reason": reason, "message": message } });
        for (status, sentence) in [
            (
                json!({ "phase": "Pending", "conditions": [{
                    "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes: no cpu",
                }] }),
                "cannot be placed on a node: Unschedulable: 0/3 nodes: no cpu",
            ),
            (
                container(&json!({ "state": waiting("ImagePullBackOff", "Back-off pulling\nimage \"i\"") })),
                "container engine: ImagePullBackOff: Back-off pulling image \"i\"",
            ),
            (
                container(&json!({
                    "state": waiting("CrashLoopBackOff", "back-off 40s"),
                    "lastState": { "terminated": { "exitCode": 137, "reason": "OOMKilled" } },
                })),
                "container engine: CrashLoopBackOff: back-off 40s; it ended with exit code 137 (OOMKilled) the last time, \
                 after 4 restarts",
            ),
            (
                container(&json!({ "state": { "terminated": { "exitCode": 1, "reason": "Error" } } })),
                "container engine ended with exit code 1 (Error)",
            ),
            (container(&json!({ "state": waiting("ContainerCreating", "") })), "container engine is being created"),
            (
                container(&json!({ "state": { "running": {} } })),
                "container engine runs, and its readiness probe has not succeeded",
            ),
            (
                container(&json!({
                    "state": { "running": {} },
                    "lastState": { "terminated": { "exitCode": 1, "reason": "Error" } },
                })),
                "container engine runs, and its readiness probe has not succeeded; it ended with exit code 1 (Error) the \
                 last time, after 4 restarts",
            ),
            (json!({ "phase": "Failed", "reason": "Evicted", "message": "low on memory" }), "Evicted: low on memory"),
            (json!({ "phase": "Failed" }), "Failed"),
            (
                json!({ "phase": "Running", "reason": "NodeLost", "message": "node n is\u{202e} silent" }),
                "NodeLost: node n is silent",
            ),
            (json!({ "phase": "Pending" }), "has not been started by its node yet"),
        ] {
            assert_eq!(why(&status).as_deref(), Some(sentence), "{status}");
        }
    }

    #[test]
    fn a_pod_that_is_ready_or_done_has_nothing_to_tell() {
        let ready = json!({ "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] });
        assert_eq!((why(&ready), why(&json!({ "phase": "Succeeded" }))), (None, None));
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let text = why(&json!({ "phase": "Failed", "reason": "x", "message": "ä".repeat(1000) })).unwrap();
        assert_eq!(text.chars().count(), "x: ".len() + CHARACTERS + 1);
    }
}
