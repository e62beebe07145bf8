//! A tentacle, as its Deployment shows it: a Deployment that the server manages.

use std::sync::LazyLock;

use k8s_openapi::{api::apps::v1::Deployment, jiff::Timestamp};
use tentacular_contract::{EnclaveName, Tentacle, TentacleName, facts::Pairs, keys, release::release_of};
use tentacular_process::link::ToolError;

use crate::text;

/// What older clients wrote in front of an annotation's name, in place of `tentacular.io/`.
const LEGACY: &str = "tentacular.dev/";

/// Said of a tentacle that is not there.
pub(crate) fn absent(enclave: &EnclaveName, tentacle: &TentacleName) -> ToolError {
    ToolError::new(format_args!("tentacle {enclave}/{tentacle} does not exist; wf_list names those that do"))
}

/// A tentacle's Deployment.
#[derive(Debug, Clone)]
pub(crate) struct Seen<'a> {
    pub(crate) name: TentacleName,
    deployment: &'a Deployment,
}

impl<'a> Seen<'a> {
    /// The tentacle that `deployment` is, or `None` when the server does not manage it.
    pub(crate) fn of(deployment: &'a Deployment) -> Option<Self> {
        Tentacle::from_metadata(deployment.metadata.labels.as_ref()?, &Pairs::new())?;
        let name = deployment.metadata.name.as_deref()?.parse().ok()?;
        Some(Self { name, deployment })
    }

    /// Owner and mode.
    pub(crate) fn facts(&self) -> Tentacle {
        Tentacle::from_annotations(self.annotations())
    }

    /// The owner's email address, else the OIDC subject.
    pub(crate) fn owner(&self) -> Option<String> {
        let owner = self.facts().owner?;
        owner.email.map(String::from).or(owner.sub).map(|owner| text::line(&owner))
    }

    /// The workflow's version: what the client annotated, else the label.
    pub(crate) fn version(&self) -> Option<String> {
        let label = || value(self.deployment.metadata.labels.as_ref()?, keys::VERSION_LABEL);
        value(self.annotations(), keys::VERSION).or_else(label)
    }

    /// The text of an annotation that an older client may have written under another prefix.
    pub(crate) fn annotation(&self, key: &str) -> Option<String> {
        let legacy = || value(self.annotations(), &key.replacen("tentacular.io/", LEGACY, 1));
        value(self.annotations(), key).or_else(legacy)
    }

    /// The tags, in their order.
    pub(crate) fn tags(&self) -> Vec<String> {
        let tags = self.annotation(keys::TAGS).unwrap_or_default();
        tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
    }

    /// When it was created.
    pub(crate) fn created(&self) -> Option<Timestamp> {
        self.deployment.metadata.creation_timestamp.as_ref().map(|time| time.0)
    }

    /// How many of it there are.
    pub(crate) fn replicas(&self) -> Replicas {
        Replicas::of(self.deployment)
    }

    /// All annotations.
    pub(crate) fn annotations(&self) -> &'a Pairs {
        static NONE: LazyLock<Pairs> = LazyLock::new(Pairs::new);
        self.deployment.metadata.annotations.as_ref().unwrap_or(&NONE)
    }
}

fn value(pairs: &Pairs, key: &str) -> Option<String> {
    pairs.get(key).map(|text| text::line(text)).filter(|text| !text.is_empty())
}

/// What is kept of a tentacle that is watched: what lists and judgements need, its texts already safe to show.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) name: TentacleName,
    /// Owner and mode.
    pub(crate) facts: Tentacle,
    pub(crate) replicas: Replicas,
    pub(crate) created: Option<Timestamp>,
    /// The Deployment's uid, by which what it made is known to be its own.
    pub(crate) uid: Option<String>,
    /// The tentacle that the Deployment says it belongs to.
    pub(crate) release: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) description: Option<String>,
    /// The owner as lists show it.
    pub(crate) owner: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) environment: Option<String>,
    pub(crate) deployed_by: Option<String>,
    pub(crate) deployed_via: Option<String>,
}

impl Kept {
    /// What is kept of the tentacle that `deployment` is; `None` when the server does not manage it.
    pub(crate) fn of(deployment: &Deployment) -> Option<Self> {
        let seen = Seen::of(deployment)?;
        Some(Self {
            facts: seen.facts(),
            replicas: seen.replicas(),
            created: seen.created(),
            uid: deployment.metadata.uid.clone(),
            release: release_of(&deployment.metadata).map(str::to_owned),
            version: seen.version(),
            description: seen.annotation(keys::DESCRIPTION),
            owner: seen.owner(),
            tags: seen.tags(),
            environment: seen.annotation(keys::ENVIRONMENT),
            deployed_by: seen.annotation(keys::DEPLOYED_BY),
            deployed_via: seen.annotation(keys::DEPLOYED_VIA),
            name: seen.name,
        })
    }
}

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
    fn of(deployment: &Deployment) -> Self {
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

    /// A Deployment of the tentacle `name`, changed by a merge of `with`.
    pub(crate) fn deployment(name: &str, with: Value) -> Deployment {
        let mut object = json!({
            "metadata": {
                "name": name,
                "generation": 1,
                "labels": { keys::MANAGED_BY: keys::TENTACULAR },
                "annotations": {},
                "creationTimestamp": "2026-01-01T00:00:00Z",
            },
            "spec": { "replicas": 1, "selector": {}, "template": {} },
            "status": {
                "observedGeneration": 1, "replicas": 1, "readyReplicas": 1, "availableReplicas": 1, "updatedReplicas": 1,
            },
        });
        merge(&mut object, with);
        serde_json::from_value(object).expect("a Deployment")
    }

    /// The numbers of a tentacle whose pods are all of the newest kind.
    pub(crate) const fn replicas(ready: i32, desired: i32) -> Replicas {
        Replicas { desired, ready, available: ready, updated: desired, old: 0, observed: true }
    }

    fn merge(into: &mut Value, with: Value) {
        match (into, with) {
            (Value::Object(into), Value::Object(with)) => {
                for (name, value) in with {
                    merge(into.entry(name).or_insert(Value::Null), value);
                }
            }
            (into, with) => *into = with,
        }
    }

    #[test]
    fn only_what_the_server_manages_is_a_tentacle() {
        assert!(Seen::of(&deployment("report", json!({}))).is_some());
        assert!(Seen::of(&deployment("1report", json!({}))).is_none());
        let foreign = json!({ "metadata": { "labels": { keys::MANAGED_BY: "Helm" } } });
        assert!(Seen::of(&deployment("report", foreign)).is_none());
        assert!(Seen::of(&Deployment::default()).is_none());
    }

    #[test]
    fn the_newer_annotation_and_then_the_label_counts() {
        let both = json!({ "metadata": {
            "labels": { keys::VERSION_LABEL: "1.0" },
            "annotations": {
                keys::VERSION: "2.0",
                keys::TAGS: "a, b,,c ",
                "tentacular.dev/tags": "old",
                "tentacular.dev/environment": "prod\u{7}",
                keys::DESCRIPTION: " ",
                "tentacular.dev/description": "old words",
            },
        } });
        let deployment_of_both = deployment("report", both);
        let seen = Seen::of(&deployment_of_both).expect("a tentacle");
        assert_eq!(seen.version().as_deref(), Some("2.0"));
        assert_eq!(seen.tags(), ["a", "b", "c"]);
        assert_eq!(seen.annotation(keys::ENVIRONMENT).as_deref(), Some("prod"));
        assert_eq!(seen.annotation(keys::DESCRIPTION).as_deref(), Some("old words"));

        let label = deployment("report", json!({ "metadata": { "labels": { keys::VERSION_LABEL: "1.0" } } }));
        assert_eq!(Seen::of(&label).expect("a tentacle").version().as_deref(), Some("1.0"));
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
