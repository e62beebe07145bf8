//! What was found, for people and for programs.

use std::fmt;

use serde::Serialize;
use tentacular_contract::text;

use super::manifest::{Manifest, Place, Unreadable};
use crate::admit::Verdict;

/// Longest message on a line, in characters: values are in it, which may be anything.
const SHOWN: usize = 2000;

/// What is said of an object, or of what is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// The webhook is not asked about it.
    Note,
    /// The webhook allows it with a warning.
    Warning,
    /// The webhook refuses it.
    Refused,
    /// It is no object.
    Unreadable,
}

impl Severity {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Refused => "refused",
            Self::Unreadable => "unreadable",
        }
    }
}

/// One thing that was found.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) file: String,
    /// Line on which the object's document begins, or what cannot be read stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    pub(crate) severity: Severity,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rule: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) field: Option<String>,
    /// The sentence that the webhook says: field, value, why it is wrong, what to do, rule.
    pub(crate) message: String,
}

/// All that was found. Displayed, it is one finding a line, and a sum.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Objects that the rules were applied to.
    pub(crate) objects: usize,
    pub(crate) findings: Vec<Line>,
}

impl Report {
    pub(super) fn unreadable(&mut self, Unreadable { place, problem }: Unreadable) {
        self.findings.push(Line::new(place, Severity::Unreadable, problem));
    }

    /// What the webhook says of an object.
    pub(super) fn judged(&mut self, manifest: &Manifest, verdict: Verdict) {
        self.objects += 1;
        let violations = verdict.violations.into_iter().map(|finding| (Severity::Refused, finding));
        let warnings = verdict.warnings.into_iter().map(|finding| (Severity::Warning, finding));
        self.findings.extend(violations.chain(warnings).map(|(severity, finding)| Line {
            rule: Some(finding.rule),
            field: Some(finding.field),
            ..Line::of(manifest, severity, finding.text)
        }));
    }

    /// That the webhook is not asked about a namespace.
    pub(super) fn outside(&mut self, manifest: &Manifest, namespace: &str) {
        let message = format!(
            "not looked at, as nothing in namespace {namespace} is: it is no enclave, which has the label \
             app.kubernetes.io/managed-by=tentacular and is not the server's own"
        );
        self.findings.push(Line::of(manifest, Severity::Note, message));
    }

    /// The worst that was found.
    pub(crate) fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|line| line.severity).max()
    }

    fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|line| line.severity == severity).count()
    }
}

impl Line {
    fn new(Place { file, line }: Place, severity: Severity, message: String) -> Self {
        Self { file, line, kind: None, name: None, severity, rule: None, field: None, message }
    }

    fn of(manifest: &Manifest, severity: Severity, message: String) -> Self {
        let metadata = &manifest.object.metadata;
        let name = metadata.name.as_ref().or(metadata.generate_name.as_ref());
        Self {
            kind: Some(manifest.kind.clone()),
            name: name.cloned(),
            ..Self::new(manifest.place.clone(), severity, message)
        }
    }
}

/// `file:line: severity: Kind/name: message`, as compilers write it.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = self.file.clone();
        if let Some(line) = self.line {
            told += &format!(":{line}");
        }
        told += &format!(": {}: ", self.severity.as_str());
        if let Some(kind) = &self.kind {
            told += &format!("{kind}/{}: ", self.name.as_deref().unwrap_or_default());
        }
        f.write_str(&text::line(&(told + &self.message), SHOWN))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.findings {
            writeln!(f, "{line}")?;
        }
        write!(f, "{} objects: ", self.objects)?;
        let severities = [Severity::Refused, Severity::Warning, Severity::Unreadable];
        let counts = severities.map(|severity| format!("{} {}", self.count(severity), severity.as_str()));
        write!(f, "{}", counts.join(", "))
    }
}
