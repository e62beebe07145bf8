//! A tentacle, as its Deployment shows it: a Deployment that the server manages.

pub(crate) mod replicas;

use std::sync::LazyLock;

use k8s_openapi::{api::apps::v1::Deployment, jiff::Timestamp};
use tentacular_contract::{EnclaveName, Tentacle, TentacleName, facts::Pairs, keys, release::release_of};
use tentacular_process::link::ToolError;

use self::replicas::Replicas;
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
}
