//! What is told about an object that reaches too far.

use std::fmt;

/// Longest value that a message quotes, in characters.
const SHOWN: usize = 100;

/// Which rule was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// The object is of a kind that a tentacle may consist of.
    Kind,
    /// Its name is free for it.
    Name,
    /// No owner and no finalizer decides over its end.
    Lifetime,
    /// What it refers to is of its own release.
    Reference,
    /// What it selects are pods of its own release.
    Selector,
    /// Its pods are selected by its own release.
    Labels,
    /// It is no credential for the Kubernetes API.
    Token,
    /// Its pods run as an account without rights.
    Account,
    /// Its pods are placed by the scheduler, among equals.
    Scheduling,
    /// It is a Service inside the cluster.
    Service,
    /// It answers to hosts of its enclave.
    Host,
}

impl Rule {
    /// How messages name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kind => "allowed-kind",
            Self::Name => "own-name",
            Self::Lifetime => "own-lifetime",
            Self::Reference => "own-reference",
            Self::Selector => "own-selector",
            Self::Labels => "own-labels",
            Self::Token => "no-token",
            Self::Account => "powerless-account",
            Self::Scheduling => "fair-scheduling",
            Self::Service => "internal-service",
            Self::Host => "own-host",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that is wrong with an object. As text: the field, the value, why it is refused, what to do and the rule; not
/// the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// The object, as Kind/name.
    pub object: String,
    /// Path of the field, such as `spec.template.spec.volumes[0].secret.secretName`.
    pub field: String,
    /// What stands there, shortened and without control characters; empty when nothing does.
    pub value: String,
    /// Why that is refused, as the end of a sentence that the value begins.
    pub problem: String,
    /// What to do instead.
    pub fix: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, object: _, field, value, problem, fix } = self;
        let space = if value.is_empty() { "" } else { " " };
        write!(f, "{field}: {value}{space}{problem}; {fix} (rule {rule})")
    }
}

/// What is found in one object.
pub(super) struct Findings {
    object: String,
    violations: Vec<Violation>,
}

impl Findings {
    pub(super) const fn of(object: String) -> Self {
        Self { object, violations: Vec::new() }
    }

    pub(super) fn add(
        &mut self,
        rule: Rule,
        field: impl Into<String>,
        value: impl AsRef<str>,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.violations.push(Violation {
            rule,
            object: self.object.clone(),
            field: field.into(),
            value: shown(value.as_ref()),
            problem: problem.into(),
            fix: fix.into(),
        });
    }

    pub(super) fn into_violations(self) -> Vec<Violation> {
        self.violations
    }
}

fn shown(value: &str) -> String {
    let short: String = value.chars().take(SHOWN).collect();
    let cut = if short.len() < value.len() { "…" } else { "" };
    format!("{}{cut}", short.escape_debug())
}
