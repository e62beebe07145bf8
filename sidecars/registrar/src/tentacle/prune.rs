//! What a release no longer has: objects that carry its label and are in none of the manifests.

use tentacular_cluster::Kind;
use tentacular_contract::reach::OURS;

use super::{
    manifest::Manifest,
    release::{Live, is_terminating},
};

/// What is to be removed, and what stays although no manifest has it.
#[derive(Default)]
pub(crate) struct Superfluous {
    pub(crate) removed: Vec<Live>,
    /// Volumes.
    pub(crate) kept: Vec<Live>,
}

/// Kind and name of the tentacle's volumes, which it keeps whatever the manifests have unless the caller wishes
/// otherwise.
pub(crate) fn volumes(release: &[Live]) -> impl Iterator<Item = (String, String)> {
    let volumes = release.iter().filter(|live| live.kind == Kind::PersistentVolumeClaim);
    volumes.map(|live| (live.kind.as_str().to_owned(), live.name().to_owned()))
}

/// Compares what is there with what the manifests have.
pub(crate) fn superfluous(release: Vec<Live>, manifests: &[&Manifest], prune_volumes: bool) -> Superfluous {
    let mut found = Superfluous::default();
    for live in release {
        let wanted = manifests.iter().any(|manifest| manifest.kind == live.kind && manifest.name == live.name());
        // What a controller made goes with its maker, and what is the server's own is none of the manifests' matter.
        if wanted || live.is_controlled() || is_terminating(&live.object) || live.name().starts_with(OURS) {
            continue;
        }
        if live.kind == Kind::PersistentVolumeClaim && !prune_volumes {
            found.kept.push(live);
        } else {
            found.removed.push(live);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn live(kind: Kind, name: &str, more: &Value) -> Live {
        let mut metadata = json!({ "name": name });
        metadata.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Live { kind, object: serde_json::from_value(json!({ "metadata": metadata })).unwrap() }
    }

    #[test]
    fn only_what_nobody_needs_is_removed() {
        let controlled = json!({ "ownerReferences": [
            { "apiVersion": "batch/v1", "kind": "CronJob", "name": "c", "uid": "u", "controller": true },
        ] });
        let release = vec![
            live(Kind::ConfigMap, "kept", &json!({})),
            live(Kind::ConfigMap, "old", &json!({})),
            live(Kind::ConfigMap, "going", &json!({ "deletionTimestamp": "2026-01-01T00:00:00Z" })),
            live(Kind::Secret, "tentacular-exoskeleton-report", &json!({})),
            live(Kind::PersistentVolumeClaim, "data", &json!({})),
            live(Kind::Deployment, "second", &json!({})),
            live(Kind::Job, "c-1", &controlled),
        ];
        let kept = Manifest { kind: Kind::ConfigMap, name: "kept".to_owned(), body: Value::Null };
        let titles = |list: &[Live]| list.iter().map(Live::title).collect::<Vec<_>>();
        let found = superfluous(release.clone(), &[&kept], false);
        assert_eq!(titles(&found.removed), ["ConfigMap/old", "Deployment/second"]);
        assert_eq!(titles(&found.kept), ["PersistentVolumeClaim/data"]);
        let found = superfluous(release, &[&kept], true);
        assert_eq!(titles(&found.removed), ["ConfigMap/old", "PersistentVolumeClaim/data", "Deployment/second"]);
    }
}
