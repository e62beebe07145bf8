//! Whose an object is: what its label says, else whoever made it.

use std::{collections::BTreeMap, ops::RangeInclusive};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use tentacular_contract::{Tentacle, release::release_of};

use crate::tentacle::Kept;

/// Kinds that do not belong to an enclave as such: what cannot be attributed to a tentacle may be one's all the same.
const OF_TENTACLES: [&str; 10] = [
    "Deployment",
    "ReplicaSet",
    "Pod",
    "Job",
    "CronJob",
    "Service",
    "ConfigMap",
    "PersistentVolumeClaim",
    "NetworkPolicy",
    "Ingress",
];
/// Letters of the endings that Kubernetes generates (`k8s.io/apimachinery/pkg/util/rand`).
const GENERATED: &str = "bcdfghjklmnpqrstvwxz2456789";
/// From a pod to the `CronJob` at the most.
const GENERATIONS: usize = 4;

/// What an object belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Belongs {
    /// A tentacle, by its name; it may be gone.
    To(String),
    /// No tentacle, but the enclave itself.
    ToEnclave,
    /// Nobody can tell any more.
    Unknown,
}

impl Belongs {
    /// The tentacle's name.
    pub(crate) fn tentacle(self) -> Option<String> {
        match self {
            Self::To(tentacle) => Some(tentacle),
            Self::ToEnclave | Self::Unknown => None,
        }
    }
}

/// By what of an object it is known whose it is.
#[derive(Debug)]
struct Origin {
    kind: String,
    name: String,
    release: Option<String>,
    controller: Option<OwnerReference>,
}

impl Origin {
    fn of(kind: &str, metadata: &ObjectMeta) -> Self {
        Self {
            kind: kind.to_owned(),
            name: metadata.name.clone().unwrap_or_default(),
            release: release_of(metadata).map(str::to_owned),
            controller: controller(metadata).cloned(),
        }
    }
}

/// What is known of the tentacles of an enclave, and of what was made in it.
#[derive(Debug, Default)]
pub(super) struct Ownership {
    /// Those that exist, and names that no tentacle has.
    tentacles: BTreeMap<String, Option<Tentacle>>,
    /// What may own something else, by uid.
    owners: BTreeMap<String, Origin>,
}

impl Ownership {
    /// What these tentacles own.
    pub(super) fn of<'a>(tentacles: impl Iterator<Item = &'a Kept>) -> Self {
        let mut ownership = Self::default();
        for tentacle in tentacles {
            let name = tentacle.name.to_string();
            if let Some(uid) = tentacle.uid.clone() {
                let (name, release) = (name.clone(), tentacle.release.clone());
                // What made it is not asked for, as it is a tentacle.
                let origin = Origin { kind: "Deployment".to_owned(), name, release, controller: None };
                ownership.owners.insert(uid, origin);
            }
            ownership.tentacles.insert(name, Some(tentacle.facts.clone()));
        }
        ownership
    }

    /// Whether it was looked up whether there is a tentacle of that name.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.tentacles.contains_key(name)
    }

    /// The tentacle of that name.
    pub(super) fn tentacle(&self, name: &str) -> Option<&Tentacle> {
        self.tentacles.get(name)?.as_ref()
    }

    /// What was found when a name was looked up.
    pub(super) fn found(&mut self, name: String, tentacle: Option<Tentacle>) {
        self.tentacles.insert(name, tentacle);
    }

    /// Takes in an object that may own others.
    pub(super) fn add(&mut self, kind: &str, metadata: &ObjectMeta) {
        if let Some(uid) = &metadata.uid {
            self.owners.insert(uid.clone(), Origin::of(kind, metadata));
        }
    }

    /// What an object belongs to.
    pub(super) fn whose(&self, kind: &str, metadata: &ObjectMeta) -> Belongs {
        self.belongs(&Origin::of(kind, metadata))
    }

    fn belongs<'a>(&'a self, mut origin: &'a Origin) -> Belongs {
        for _ in 0..GENERATIONS {
            if let Some(release) = &origin.release {
                return Belongs::To(release.clone());
            }
            if origin.kind == "Deployment" && self.is_tentacle(&origin.name) {
                return Belongs::To(origin.name.clone());
            }
            let Some(controller) = &origin.controller else { return Belongs::ToEnclave };
            match self.owners.get(&controller.uid) {
                Some(owner) => origin = owner,
                None => return self.whose_was(&controller.kind, &controller.name),
            }
        }
        Belongs::Unknown
    }

    /// What the object that something refers to belongs to.
    pub(super) fn whose_is(&self, kind: &str, name: &str, uid: &str) -> Belongs {
        match self.owners.get(uid) {
            Some(owner) => self.belongs(owner),
            None => self.whose_was(kind, name),
        }
    }

    /// What an object that is gone belonged to, as far as its name tells.
    fn whose_was(&self, kind: &str, name: &str) -> Belongs {
        let made_by = match kind {
            "ReplicaSet" => without_ending(name, 1..=10),
            "Pod" => without_ending(name, 5..=5).and_then(|set| without_ending(set, 1..=10)),
            _ => Some(name),
        };
        match made_by.filter(|name| self.is_tentacle(name)) {
            Some(tentacle) => Belongs::To(tentacle.to_owned()),
            None if OF_TENTACLES.contains(&kind) => Belongs::Unknown,
            None => Belongs::ToEnclave,
        }
    }

    fn is_tentacle(&self, name: &str) -> bool {
        self.tentacle(name).is_some()
    }
}

/// What made an object and keeps it as it is to be.
pub(crate) fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// What is in front of a generated ending of so many letters.
fn without_ending(name: &str, letters: RangeInclusive<usize>) -> Option<&str> {
    let (front, ending) = name.rsplit_once('-')?;
    (letters.contains(&ending.len()) && ending.chars().all(|letter| GENERATED.contains(letter))).then_some(front)
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};
    use tentacular_contract::keys;

    use super::*;

    /// Of bob's tentacles `open`, which members of the enclave may read, and `private`.
    pub(in crate::view) fn ownership() -> Ownership {
        let mut ownership = Ownership::default();
        for (name, mode) in [("open", "rwxr-x---"), ("private", "rwx------")] {
            let annotations = [(keys::OWNER, "bob@x.io"), (keys::MODE, mode)];
            let annotations = annotations.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
            ownership.found(name.to_owned(), Some(Tentacle::from_annotations(&annotations)));
        }
        ownership
    }

    fn metadata(name: &str, uid: &str, more: &Value) -> ObjectMeta {
        let mut object = json!({ "name": name, "uid": uid });
        object.as_object_mut().expect("members").extend(more.as_object().expect("members").clone());
        serde_json::from_value(object).expect("metadata")
    }

    fn made_by(kind: &str, name: &str, uid: &str) -> Value {
        json!({ "ownerReferences": [
            { "apiVersion": "v1", "kind": "Owner", "name": "other", "uid": "other" },
            { "apiVersion": "v1", "kind": kind, "name": name, "uid": uid, "controller": true },
        ] })
    }

    fn to(tentacle: &str) -> Belongs {
        Belongs::To(tentacle.to_owned())
    }

    #[test]
    fn an_object_belongs_to_its_release_or_to_whoever_made_it() {
        let mut ownership = ownership();
        let release = |name: &str| json!({ "labels": { keys::RELEASE: name } });
        ownership.add("Deployment", &metadata("private", "d1", &json!({})));
        ownership.add("Deployment", &metadata("second", "d2", &release("open")));
        ownership.add("ReplicaSet", &metadata("private-1", "r1", &made_by("Deployment", "private", "d1")));
        ownership.add("ReplicaSet", &metadata("second-1", "r2", &made_by("Deployment", "second", "d2")));
        ownership.add("CronJob", &metadata("nightly", "c1", &release("private")));
        ownership.add("Job", &metadata("nightly-1", "j1", &made_by("CronJob", "nightly", "c1")));
        ownership.add("ReplicaSet", &metadata("foreign-1", "r3", &made_by("Deployment", "foreign", "gone")));
        for (more, belongs) in [
            (release("open"), to("open")),
            (release("gone"), to("gone")),
            (made_by("ReplicaSet", "private-1", "r1"), to("private")),
            (made_by("ReplicaSet", "second-1", "r2"), to("open")),
            (made_by("Job", "nightly-1", "j1"), to("private")),
            (made_by("ReplicaSet", "private-5d4f8c7b9", "gone"), to("private")),
            (made_by("ReplicaSet", "removed-5d4f8c7b9", "gone"), Belongs::Unknown),
            (made_by("ReplicaSet", "foreign-1", "r3"), Belongs::Unknown),
            (json!({}), Belongs::ToEnclave),
        ] {
            assert_eq!(ownership.whose("Pod", &metadata("p", "p", &more)), belongs, "{more}");
        }
    }

    #[test]
    fn what_is_gone_is_known_by_its_name() {
        let ownership = ownership();
        for (kind, name, belongs) in [
            ("Pod", "private-5d4f8c7b9-x2x4z", to("private")),
            ("Pod", "private-x2x4z", Belongs::Unknown),
            ("Pod", "private-other-5d4f8c7b9-x2x4z", Belongs::Unknown),
            ("ReplicaSet", "open-5d4f8c7b9", to("open")),
            ("Deployment", "open", to("open")),
            ("Deployment", "removed", Belongs::Unknown),
            ("Service", "open", to("open")),
            ("ConfigMap", "private-code", Belongs::Unknown),
            ("ResourceQuota", "tentacular-quota", Belongs::ToEnclave),
            ("Namespace", "team-a", Belongs::ToEnclave),
        ] {
            assert_eq!(ownership.whose_is(kind, name, "gone"), belongs, "{kind} {name}");
        }
    }
}
