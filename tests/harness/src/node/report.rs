//! The status that a kubelet would report of a pod. Pure: the pod, an address and the time come in.

use k8s_openapi::{
    api::core::v1::{
        Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
        ContainerStatus, HostIP, Pod, PodCondition, PodIP, PodSpec, PodStatus,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};

use super::{IMAGE_PULL, READY, UNREADY, presence::ADDRESS};

/// What becomes of a pod.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Runs and is ready.
    Serves,
    /// Runs and is not ready.
    Unready,
    /// Waits for its images.
    Pulls,
    /// Has done its work, as a pod of a Job.
    Succeeds,
}

/// The status of `pod` with `address` as its own, or nothing when its status says that already. Of what is there,
/// times, restart counts, addresses and conditions of others stay.
pub(super) fn report(pod: &Pod, address: &str, now: &Time) -> Option<PodStatus> {
    let spec = pod.spec.as_ref()?;
    let before = pod.status.clone().unwrap_or_default();
    if matches!(before.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return None;
    }
    let fate = fate(pod);
    let after =
        PodStatus {
            phase: Some(phase(fate).into()),
            conditions: Some(conditions(fate, spec, &before, now)),
            container_statuses: Some(containers(&spec.containers, before.container_statuses.as_ref(), now, |_| {
                match fate {
                    Fate::Serves => Stage::Running { ready: true },
                    Fate::Unready => Stage::Running { ready: false },
                    Fate::Pulls => Stage::Pulling,
                    Fate::Succeeds => Stage::Completed { ready: false },
                }
            })),
            init_container_statuses: spec.init_containers.as_ref().map(|inits| {
                containers(inits, before.init_container_statuses.as_ref(), now, |container| match fate {
                    Fate::Pulls => Stage::Pulling,
                    Fate::Succeeds => Stage::Completed { ready: true },
                    _ if container.restart_policy.is_some() => Stage::Running { ready: true },
                    _ => Stage::Completed { ready: true },
                })
            }),
            start_time: before.start_time.clone().or_else(|| Some(now.clone())),
            host_ip: Some(ADDRESS.into()),
            host_ips: Some(vec![HostIP { ip: ADDRESS.into() }]),
            pod_ip: before.pod_ip.clone().or_else(|| Some(address.into())),
            pod_ips: before.pod_ips.clone().or_else(|| Some(vec![PodIP { ip: address.into() }])),
            ..before.clone()
        };
    (after != before).then_some(after)
}

fn fate(pod: &Pod) -> Fate {
    let asked = pod.metadata.annotations.as_ref().and_then(|annotations| annotations.get(READY));
    let owners = pod.metadata.owner_references.iter().flatten();
    match asked.map(String::as_str) {
        Some(UNREADY) => Fate::Unready,
        Some(IMAGE_PULL) => Fate::Pulls,
        _ if owners.into_iter().any(|owner| owner.kind == "Job") => Fate::Succeeds,
        _ => Fate::Serves,
    }
}

fn phase(fate: Fate) -> &'static str {
    match fate {
        Fate::Serves | Fate::Unready => "Running",
        Fate::Pulls => "Pending",
        Fate::Succeeds => "Succeeded",
    }
}

/// The conditions of a kubelet, and those of others untouched. A readiness gate is the condition of another that the
/// pod's readiness also needs.
fn conditions(fate: Fate, spec: &PodSpec, before: &PodStatus, now: &Time) -> Vec<PodCondition> {
    let had = before.conditions.as_deref().unwrap_or_default();
    let holds = |kind: &str| had.iter().any(|condition| condition.type_ == kind && condition.status == "True");
    let gates_open = spec.readiness_gates.iter().flatten().all(|gate| holds(&gate.condition_type));
    let initialized = fate != Fate::Pulls || spec.init_containers.as_ref().is_none_or(Vec::is_empty);
    let serves = fate == Fate::Serves;
    let because = match fate {
        Fate::Succeeds => Some("PodCompleted"),
        Fate::Serves if !gates_open => Some("ReadinessGatesNotReady"),
        Fate::Serves => None,
        Fate::Unready | Fate::Pulls => Some("ContainersNotReady"),
    };
    let ours = [
        ("PodReadyToStartContainers", fate != Fate::Succeeds, None),
        ("Initialized", initialized, None),
        ("ContainersReady", serves, because.filter(|_| !serves)),
        ("Ready", serves && gates_open, because),
        ("PodScheduled", true, None),
    ];
    let mut all: Vec<PodCondition> =
        had.iter().filter(|condition| ours.iter().all(|(kind, ..)| *kind != condition.type_)).cloned().collect();
    for (kind, holds, reason) in ours {
        let status = if holds { "True" } else { "False" };
        let earlier = had.iter().find(|condition| condition.type_ == kind);
        let unchanged = earlier.filter(|condition| condition.status == status);
        all.push(PodCondition {
            type_: kind.into(),
            status: status.into(),
            reason: reason.map(str::to_owned),
            last_transition_time: unchanged
                .and_then(|condition| condition.last_transition_time.clone())
                .or_else(|| Some(now.clone())),
            ..earlier.cloned().unwrap_or_default()
        });
    }
    all
}

/// Where a container is.
enum Stage {
    Pulling,
    Running { ready: bool },
    Completed { ready: bool },
}

fn containers(
    containers: &[Container],
    before: Option<&Vec<ContainerStatus>>,
    now: &Time,
    stage: impl Fn(&Container) -> Stage,
) -> Vec<ContainerStatus> {
    let earlier = |name: &str| before.into_iter().flatten().find(|status| status.name == name).cloned();
    containers
        .iter()
        .map(|container| {
            container_status(container, earlier(&container.name).unwrap_or_default(), now, &stage(container))
        })
        .collect()
}

fn container_status(container: &Container, before: ContainerStatus, now: &Time, at: &Stage) -> ContainerStatus {
    let image = container.image.clone().unwrap_or_default();
    let was = before.state.clone().unwrap_or_default();
    let running_since = was.running.as_ref().and_then(|running| running.started_at.clone());
    let state = match at {
        Stage::Pulling => ContainerState {
            waiting: Some(ContainerStateWaiting {
                reason: Some("ImagePullBackOff".into()),
                message: Some(format!("Back-off pulling image \"{image}\"")),
            }),
            ..ContainerState::default()
        },
        Stage::Running { .. } => ContainerState {
            running: Some(ContainerStateRunning { started_at: running_since.or_else(|| Some(now.clone())) }),
            ..ContainerState::default()
        },
        Stage::Completed { .. } if was.terminated.is_some() => was,
        Stage::Completed { .. } => ContainerState {
            terminated: Some(ContainerStateTerminated {
                exit_code: 0,
                reason: Some("Completed".into()),
                started_at: running_since.or_else(|| Some(now.clone())),
                finished_at: Some(now.clone()),
                ..ContainerStateTerminated::default()
            }),
            ..ContainerState::default()
        },
    };
    ContainerStatus {
        name: container.name.clone(),
        ready: matches!(at, Stage::Running { ready: true } | Stage::Completed { ready: true }),
        started: Some(matches!(at, Stage::Running { .. })),
        state: Some(state),
        // An image by digest was pulled by that digest; of another the digest is not known here.
        image_id: if image.contains('@') { image.clone() } else { String::new() },
        image,
        ..before
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use serde_json::{Value, from_value, json};

    use super::*;

    fn at(second: i64) -> Time {
        Time(Timestamp::from_second(second).unwrap())
    }

    fn pod(metadata: &Value) -> Pod {
        let spec = json!({
            "containers": [{ "name": "main", "image": "main:1" }],
            "initContainers": [
                { "name": "once", "image": "once:1" },
                { "name": "beside", "image": "beside@sha256:00", "restartPolicy": "Always" },
            ],
        });
        from_value(json!({ "metadata": metadata, "spec": spec })).unwrap()
    }

    fn condition<'a>(status: &'a PodStatus, kind: &str) -> &'a PodCondition {
        status.conditions.iter().flatten().find(|condition| condition.type_ == kind).unwrap()
    }

    #[test]
    fn what_was_reported_is_not_reported_again() {
        let fates = [
            json!({}),
            json!({ "annotations": { READY: UNREADY } }),
            json!({ "annotations": { READY: IMAGE_PULL } }),
            json!({ "ownerReferences": [{ "apiVersion": "batch/v1", "kind": "Job", "name": "job", "uid": "1" }] }),
        ];
        for metadata in fates {
            let mut pod = pod(&metadata);
            pod.status = report(&pod, "10.244.0.1", &at(1));
            assert!(pod.status.is_some());
            assert_eq!(report(&pod, "10.244.0.2", &at(2)), None, "{metadata}");
        }
    }

    #[test]
    fn init_containers_complete_unless_they_run_beside() {
        let status = report(&pod(&json!({})), "10.244.0.1", &at(1)).unwrap();
        let [once, beside] = &status.init_container_statuses.unwrap()[..] else { panic!("two init containers") };
        assert_eq!(once.state.as_ref().unwrap().terminated.as_ref().unwrap().reason.as_deref(), Some("Completed"));
        assert!(beside.state.as_ref().unwrap().running.is_some());
        assert!(once.ready && beside.ready);
        assert_eq!((once.started, beside.started), (Some(false), Some(true)));
        assert_eq!(beside.image_id, "beside@sha256:00");
    }

    #[test]
    fn a_change_keeps_what_did_not_change() {
        let mut pod = pod(&json!({ "annotations": { READY: UNREADY } }));
        pod.status = report(&pod, "10.244.0.1", &at(1));
        pod.metadata.annotations = None;
        let status = report(&pod, "10.244.0.2", &at(2)).unwrap();
        assert_eq!(condition(&status, "Ready").status, "True");
        assert_eq!(condition(&status, "Ready").last_transition_time, Some(at(2)));
        assert_eq!(condition(&status, "Initialized").last_transition_time, Some(at(1)));
        assert_eq!(status.start_time, Some(at(1)));
        assert_eq!(status.pod_ip.as_deref(), Some("10.244.0.1"));
        let running = status.container_statuses.unwrap().remove(0).state.unwrap().running.unwrap();
        assert_eq!(running.started_at, Some(at(1)));
    }

    #[test]
    fn a_readiness_gate_is_opened_by_its_condition() {
        let mut pod = pod(&json!({}));
        pod.spec.as_mut().unwrap().readiness_gates =
            Some(from_value(json!([{ "conditionType": "example.com/warm" }])).unwrap());
        let closed = report(&pod, "10.244.0.1", &at(1)).unwrap();
        assert_eq!(condition(&closed, "Ready").status, "False");
        assert_eq!(condition(&closed, "ContainersReady").status, "True");

        let mut opened = closed;
        let warm = json!({ "type": "example.com/warm", "status": "True" });
        opened.conditions.as_mut().unwrap().push(from_value(warm).unwrap());
        pod.status = Some(opened);
        let status = report(&pod, "10.244.0.1", &at(2)).unwrap();
        assert_eq!(condition(&status, "Ready").status, "True");
        assert_eq!(condition(&status, "example.com/warm").status, "True");
    }

    #[test]
    fn a_pod_that_ended_is_left_alone() {
        let mut pod = pod(&json!({}));
        pod.status = Some(PodStatus { phase: Some("Failed".into()), ..PodStatus::default() });
        assert_eq!(report(&pod, "10.244.0.1", &at(1)), None);
    }
}
