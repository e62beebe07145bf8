//! How a tentacle's rollout stands, in numbers and in Kubernetes' own words.

use k8s_openapi::api::apps::v1::Deployment;

use crate::text;

/// How many pods of a tentacle there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Replicas {
    /// How many there are to be; 0 switches the tentacle off.
    pub(crate) desired: i32,
    /// How many answer their readiness probe.
    pub(crate) ready: i32,
    /// How many have been ready for long enough, be they of the newest kind or older.
    pub(crate) available: i32,
    /// How many are of the newest kind, ready or not.
    pub(crate) updated: i32,
    /// How many are of an older kind, which a rollout replaces.
    pub(crate) old: i32,
    /// Whether these numbers are about the Deployment as it is now.
    pub(crate) observed: bool,
}

impl Replicas {
    pub(super) fn of(deployment: &Deployment) -> Self {
        let (spec, status) = (deployment.spec.as_ref(), deployment.status.as_ref());
        let observed = status.and_then(|status| status.observed_generation);
        let updated = status.and_then(|status| status.updated_replicas).unwrap_or(0);
        Self {
            desired: spec.and_then(|spec| spec.replicas).unwrap_or(1),
            ready: status.and_then(|status| status.ready_replicas).unwrap_or(0),
            available: status.and_then(|status| status.available_replicas).unwrap_or(0),
            updated,
            old: status.and_then(|status| status.replicas).unwrap_or(0) - updated,
            observed: observed >= deployment.metadata.generation,
        }
    }

    /// Whether all that are to be there are available and of the newest kind. It tells less of whether the tentacle can run:
    /// while a rollout is under way, or is stuck, those of an older kind do.
    pub(crate) const fn is_ready(self) -> bool {
        self.observed && self.is_rolled_out() && self.available >= self.desired
    }

    /// Whether no rollout is left to do. Where there are to be no pods, none has to be new.
    const fn is_rolled_out(self) -> bool {
        // As long as there are older ones, the available ones may be these: the new ones are made before the old ones go.
        self.desired <= 0 || (self.updated >= self.desired && self.old <= 0)
    }
}

/// Why a Deployment is not ready, in numbers and in Kubernetes' own words where it says so. `None` when it is ready.
///
/// Numbers decide: a condition may outlast what it tells of while rollouts are paused.
pub(crate) fn trouble(deployment: &Deployment) -> Option<String> {
    let replicas = Replicas::of(deployment);
    if replicas.is_ready() {
        return None;
    }
    let conditions = deployment.status.as_ref().and_then(|status| status.conditions.as_deref());
    let is = |kind: &str, status: &str| {
        let mut conditions = conditions.unwrap_or_default().iter();
        conditions.find(|condition| condition.type_ == kind && condition.status == status)
    };
    // What is said of pods that were refused (quota, Pod Security, a webhook) is the cause of the other.
    let failed = is("ReplicaFailure", "True").or_else(|| is("Progressing", "False"));
    let failed = failed.and_then(|condition| condition.message.as_deref().or(condition.reason.as_deref()));
    let paused = deployment.spec.as_ref().is_some_and(|spec| spec.paused == Some(true)) && !replicas.is_rolled_out();
    let paused = paused.then(|| "the rollouts of the Deployment are paused (spec.paused)".to_owned());
    let causes: Vec<_> = failed.map(text::line).into_iter().chain(paused).collect();

    let Replicas { desired, available, updated, old, .. } = replicas;
    let mut trouble = format!("{available}/{desired} replicas available");
    if !replicas.observed {
        return Some(trouble + ", and the last change has not been taken up yet");
    }
    if old > 0 {
        let kinds = format!(", {updated} of {desired} pods are of the newest kind and {old} of an older one");
        trouble.push_str(&kinds);
    }
    if !causes.is_empty() {
        trouble = format!("{trouble}: {}", causes.join("; "));
    }
    Some(trouble)
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::tentacle::tests::deployment;

    /// The numbers of a tentacle whose pods are all of the newest kind.
    pub(crate) const fn replicas(ready: i32, desired: i32) -> Replicas {
        Replicas { desired, ready, available: ready, updated: desired, old: 0, observed: true }
    }

    #[test]
    fn trouble_is_told_in_the_words_of_kubernetes() {
        let failing = json!([
            { "type": "Progressing", "status": "False", "message": "has timed out progressing" },
            { "type": "ReplicaFailure", "status": "True", "message": "exceeded quota" },
        ]);
        for (with, trouble) in [
            (json!({}), None),
            (json!({ "spec": { "replicas": 0 }, "status": { "availableReplicas": 0 } }), None),
            (json!({ "status": { "availableReplicas": 0 } }), Some("0/1 replicas available")),
            (
                json!({ "status": { "availableReplicas": 0, "conditions": failing } }),
                Some("0/1 replicas available: exceeded quota"),
            ),
            (
                json!({ "metadata": { "generation": 2 } }),
                Some("1/1 replicas available, and the last change has not been taken up yet"),
            ),
        ] {
            let deployment = deployment("report", with);
            assert_eq!(super::trouble(&deployment).as_deref(), trouble);
            assert_eq!(Replicas::of(&deployment).is_ready(), trouble.is_none());
        }
    }

    #[test]
    fn a_rollout_that_is_not_over_is_told_though_older_pods_are_available() {
        let status = |replicas: i32, updated: i32, available: i32, conditions: &Value| {
            json!({ "status": {
                "replicas": replicas, "updatedReplicas": updated, "readyReplicas": available,
                "availableReplicas": available, "conditions": conditions,
            } })
        };
        let failing = |message: &str| json!([{ "type": "Progressing", "status": "False", "message": message }]);
        let bare = json!([{ "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded" }]);
        let going = json!([{ "type": "Progressing", "status": "True", "message": "is progressing" }]);
        for (desired, status, trouble) in [
            (1, status(1, 1, 1, &going), None),
            // One of the newest kind is too many and not gone yet.
            (1, status(2, 2, 2, &going), None),
            (
                1,
                status(2, 1, 1, &going),
                Some("1/1 replicas available, 1 of 1 pods are of the newest kind and 1 of an older one"),
            ),
            (
                1,
                status(2, 1, 1, &failing("\"r-1\" has timed out\u{1b} progressing")),
                Some(
                    "1/1 replicas available, 1 of 1 pods are of the newest kind and 1 of an older one: \"r-1\" has timed \
                     out progressing",
                ),
            ),
            (
                3,
                status(4, 2, 3, &bare),
                Some(
                    "3/3 replicas available, 2 of 3 pods are of the newest kind and 2 of an older one: \
                     ProgressDeadlineExceeded",
                ),
            ),
            (
                1,
                status(1, 0, 1, &json!([])),
                Some("1/1 replicas available, 0 of 1 pods are of the newest kind and 1 of an older one"),
            ),
            // The first rollout has nothing older to tell of.
            (1, status(0, 0, 0, &failing("exceeded quota")), Some("0/1 replicas available: exceeded quota")),
            // Switched off, whatever became of the rollout before.
            (0, status(0, 0, 0, &failing("has timed out")), None),
            (0, status(1, 0, 1, &going), None),
        ] {
            let mut with = status;
            with["spec"] = json!({ "replicas": desired });
            let deployment = deployment("report", with.clone());
            assert_eq!(super::trouble(&deployment).as_deref(), trouble, "{with}");
            assert_eq!(Replicas::of(&deployment).is_ready(), trouble.is_none(), "{with}");
        }
    }

    #[test]
    fn paused_rollouts_are_told_where_one_is_left_to_do() {
        let with = |replicas: i32, updated: i32, available: i32| {
            let status = json!({ "replicas": replicas, "updatedReplicas": updated, "availableReplicas": available });
            deployment("report", json!({ "spec": { "paused": true }, "status": status }))
        };
        let paused = "the rollouts of the Deployment are paused (spec.paused)";
        assert_eq!(trouble(&with(1, 1, 1)), None);
        assert_eq!(trouble(&with(1, 1, 0)).as_deref(), Some("0/1 replicas available"));
        assert_eq!(trouble(&with(0, 0, 0)), Some(format!("0/1 replicas available: {paused}")));
        let kinds = "0 of 1 pods are of the newest kind and 1 of an older one";
        assert_eq!(trouble(&with(1, 0, 1)), Some(format!("1/1 replicas available, {kinds}: {paused}")));
    }
}
