//! The name of another object in an object.

use super::{
    CLUSTER_CA, KINDS, OURS, Scope,
    violation::{Findings, Rule},
};

/// An object that another one names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// Kind of what is named; any text, for a kind that no tentacle has.
    pub(super) kind: String,
    pub(super) name: String,
    /// Path of the name.
    pub(super) field: String,
}

impl Reference {
    pub(super) fn new(kind: &str, name: &str, field: String) -> Self {
        Self { kind: kind.to_owned(), name: name.to_owned(), field }
    }

    /// What the name itself shows.
    pub(super) fn alone(&self, scope: &Scope<'_>, found: &mut Findings) {
        let Self { kind, name, field } = self;
        if !KINDS.contains(&kind.as_str()) {
            let problem = format!("names a {kind}, which no tentacle can have of its own");
            found.add(Rule::Reference, field, name, problem, "leave it out");
        } else if name.starts_with(OURS) && !scope.is_own_exoskeleton(name) {
            let problem = "is the server's own or another tentacle's";
            found.add(Rule::Reference, field, name, problem, format!("name a {kind} of this tentacle"));
        }
    }

    /// Whether [`Self::alone`] has said all there is to say.
    pub(super) fn is_settled(&self, scope: &Scope<'_>) -> bool {
        let everybodys = self.kind == "ConfigMap" && self.name == CLUSTER_CA;
        let refused = !KINDS.contains(&self.kind.as_str())
            || self.name.starts_with(OURS) && !scope.is_own_exoskeleton(&self.name);
        everybodys || refused
    }
}
