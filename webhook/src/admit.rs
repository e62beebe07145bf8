//! The rules, pure: a request to the API server in, everything that speaks against it out. One module a family of rules.
//!
//! There are two families of rules: [`protect`] is about what the server and administrators alone write, [`validate`] holds for
//! everybody. Of an update, the second refuses what it brings; what was wrong before it is a warning, since it must not stand
//! in the way of an unrelated change.

mod annotation;
mod contents;
mod deployment;
mod frozen;
mod kind;
mod namespace;
mod object;
mod own;
mod pod_security;
mod protection;
mod template;

use std::{collections::HashSet, fmt};

use serde_json::Value;
use tentacular_contract::{facts::Pairs, pod_security::Version};
use tokio::sync::watch;

pub use kind::Kind;
pub(crate) use object::texts;

use contents::Contents;

/// What a write does with the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// It is new.
    Create,
    /// It is changed.
    Update,
    /// It goes.
    Delete,
}

/// The namespace that a request is about, or that its object is in.
#[derive(Debug, Clone, Copy)]
pub struct Namespace<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its labels.
    pub labels: &'a Pairs,
    /// Its annotations.
    pub annotations: &'a Pairs,
}

/// A write that the API server asks about.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// What the write does.
    pub operation: Operation,
    /// Kind of the object; for its scale, that of the object that is scaled.
    pub kind: Kind,
    /// Which part of the object is written; `None` for the object itself.
    pub subresource: Option<&'a str>,
    /// The object's name; empty when Kubernetes is to choose one.
    pub name: &'a str,
    /// Where it is.
    pub namespace: Namespace<'a>,
    /// The object as it would be stored; absent when it is deleted.
    pub object: Option<&'a Value>,
    /// The object as it is stored; absent when it is new.
    pub old: Option<&'a Value>,
}

/// What the rules need to know of the installation.
#[derive(Debug, Clone)]
pub struct Installation {
    /// The domain under which every enclave has hosts.
    pub ingress_domain: Option<String>,
    /// The version of the API server, whose Pod Security is `latest`.
    pub version: watch::Receiver<Version>,
}

/// Findings that are told of one write: who mends these is told of the others.
const TOLD: usize = 50;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Finding {
    /// The rule's name.
    pub rule: &'static str,
    /// Where in the object, such as `metadata.annotations[tentacular.io/mode]`; empty when it is about all of it.
    pub field: String,
    /// A sentence: the field, what stands there, why it is wrong, what to do, and the rule.
    pub text: String,
}

impl Finding {
    /// That a field is wrong. `problem` says what stands there, why that is wrong, and what to do.
    fn new(rule: &'static str, field: impl Into<String>, problem: impl fmt::Display) -> Self {
        let field = field.into();
        let text = format!("{field}: {problem} (rule {rule})");
        Self { rule, field, text }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The first findings, a line each, and how many there are beside them.
pub(crate) fn told(findings: &[Finding]) -> Vec<String> {
    let mut lines: Vec<_> = findings.iter().take(TOLD).map(ToString::to_string).collect();
    if findings.len() > TOLD {
        lines.push(format!("and {} more", findings.len() - TOLD));
    }
    lines
}

/// What the rules found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Why the write is refused; none, and it is allowed.
    pub violations: Vec<Finding>,
    /// What the writer should know.
    pub warnings: Vec<Finding>,
    /// What would be refused to others and is this writer's to do; nothing where the write is refused.
    pub exempt: Vec<Finding>,
}

impl Verdict {
    /// Refused for this one reason.
    pub fn refusal(rule: &'static str, text: impl fmt::Display) -> Self {
        vec![Finding { rule, field: String::new(), text: format!("{text} (rule {rule})") }].into()
    }

    /// What is found in an object: refused, but for what was found in the object before it too.
    fn of_change(new: Vec<Finding>, old: &[Finding]) -> Self {
        let old: HashSet<_> = old.iter().collect();
        let (warnings, violations) = new.into_iter().partition(|finding| old.contains(finding));
        Self { violations, warnings, ..Self::default() }
    }

    /// This and then `other`.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.violations.extend(other.violations);
        self.warnings.extend(other.warnings);
        self.exempt.extend(other.exempt);
        self
    }
}

impl From<Vec<Finding>> for Verdict {
    fn from(violations: Vec<Finding>) -> Self {
        Self { violations, ..Self::default() }
    }
}

/// What only the server and administrators write, and that a frozen enclave is frozen for everybody else.
pub fn protect(request: &Request<'_>) -> Vec<Finding> {
    let mut found = protection::judge(request);
    found.extend(frozen::judge(request));
    found
}

/// What holds for everybody: annotations, Pod Security, and that a tentacle reaches only its own.
pub fn validate(request: &Request<'_>, installation: &Installation) -> Verdict {
    let contents = Contents::of(request);
    annotation::verdict(request)
        .and(pod_security::verdict(request, &contents, *installation.version.borrow()))
        .and(own::verdict(request, &contents, installation.ingress_domain.as_deref()))
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
