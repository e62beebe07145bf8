//! What `wf_apply` answers.

use schemars::JsonSchema;
use serde::Serialize;

use super::{differences::Difference, rollout::Rollout};

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Effect {
    /// It is new.
    Created,
    /// It was there and is different now.
    Updated,
    /// It was deleted and made anew, as the caller asked for.
    Replaced,
    /// It was there as it should be.
    Unchanged,
    /// It was there and the manifests no longer have it.
    Deleted,
}

/// What happened to one object.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Change {
    /// Its kind.
    pub(crate) kind: &'static str,
    /// Its name.
    pub(crate) name: String,
    /// What happened to it.
    pub(crate) action: Effect,
    /// With `dry_run`: the fields that would change, at most 100.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) fields: Vec<Difference>,
    /// How many further fields would change.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) more_fields: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// What an apply did, or with `dry_run` would do.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Outcome {
    /// Name of the tentacle.
    name: String,
    /// Name of its enclave.
    enclave: String,
    /// What happened to the tentacle as a whole.
    #[schemars(extend("enum" = ["created", "updated", "unchanged"]))]
    status: Effect,
    /// Whether nothing was written.
    dry_run: bool,
    /// How many objects are new.
    created: usize,
    /// How many objects are different now, replaced ones among them.
    updated: usize,
    /// How many objects were removed.
    deleted: usize,
    /// How many objects were as they should be.
    unchanged: usize,
    /// The objects that the tentacle now consists of, as Kind/name, volumes that it keeps among them.
    applied: Vec<String>,
    /// What happened to each object.
    objects: Vec<Change>,
    /// With `wait_seconds`: how far the pods are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rollout: Option<Rollout>,
    /// What was changed in the manifests, and what else is worth knowing.
    warnings: Vec<String>,
}

impl Outcome {
    /// Counts `objects`, beside which the tentacle has `kept`. `new` says that the tentacle was not there before.
    pub(crate) fn of(
        (name, enclave): (String, String),
        (new, dry_run): (bool, bool),
        objects: Vec<Change>,
        kept: Vec<String>,
        warnings: Vec<String>,
    ) -> Self {
        let count = |effect| objects.iter().filter(|change| change.action == effect).count();
        let unchanged = count(Effect::Unchanged);
        let status = match unchanged == objects.len() {
            _ if new => Effect::Created,
            true => Effect::Unchanged,
            false => Effect::Updated,
        };
        let applied = objects.iter().filter(|change| change.action != Effect::Deleted);
        let applied = applied.map(|change| format!("{}/{}", change.kind, change.name)).chain(kept).collect();
        Self {
            name,
            enclave,
            status,
            dry_run,
            created: count(Effect::Created),
            updated: count(Effect::Updated) + count(Effect::Replaced),
            deleted: count(Effect::Deleted),
            unchanged,
            applied,
            objects,
            rollout: None,
            warnings,
        }
    }

    /// Adds something that is worth knowing.
    pub(crate) fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }
}
