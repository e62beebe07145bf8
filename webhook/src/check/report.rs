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
pub(crate) struct Remark {
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
    pub(crate) findings: Vec<Remark>,
}

impl Report {
    pub(super) fn unreadable(&mut self, Unreadable { place, problem }: Unreadable) {
        self.findings.push(Remark::new(place, Severity::Unreadable, problem));
    }

    /// What the webhook says of an object.
    pub(super) fn judged(&mut self, manifest: &Manifest, verdict: Verdict) {
        self.objects += 1;
        let violations = verdict.violations.into_iter().map(|finding| (Severity::Refused, finding));
        let warnings = verdict.warnings.into_iter().map(|finding| (Severity::Warning, finding));
        self.findings.extend(violations.chain(warnings).map(|(severity, finding)| Remark {
            rule: Some(finding.rule),
            field: Some(finding.field),
            ..Remark::of(manifest, severity, finding.text)
        }));
    }

    /// That the webhook is not asked about a namespace.
    pub(super) fn outside(&mut self, manifest: &Manifest, namespace: &str) {
        let message = format!(
            "not looked at, as nothing in namespace {namespace} is: it is no enclave, which has the label \
             app.kubernetes.io/managed-by=tentacular and is not the server's own"
        );
        self.findings.push(Remark::of(manifest, Severity::Note, message));
    }

    /// The worst that was found.
    pub(crate) fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|remark| remark.severity).max()
    }

    fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|remark| remark.severity == severity).count()
    }
}

impl Remark {
    fn new(Place { file, line }: Place, severity: Severity, message: String) -> Self {
        Self { file, line, kind: None, name: None, severity, rule: None, field: None, message }
    }

    fn of(manifest: &Manifest, severity: Severity, message: String) -> Self {
        let metadata = &manifest.metadata;
        let name = metadata.name.as_ref().or(metadata.generate_name.as_ref());
        Self {
            kind: Some(manifest.kind.clone()),
            name: name.cloned(),
            ..Self::new(manifest.place.clone(), severity, message)
        }
    }
}

/// `file:line: severity: Kind/name: message`, as compilers write it.
impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, kind, name, severity, message, .. } = self;
        let place = line.map_or_else(|| file.clone(), |line| format!("{file}:{line}"));
        let name = name.as_deref().unwrap_or_default();
        let object = kind.as_ref().map(|kind| format!("{kind}/{name}: ")).unwrap_or_default();
        let told = format!("{place}: {}: {object}{message}", severity.as_str());
        f.write_str(&text::line(&told, SHOWN))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for remark in &self.findings {
            writeln!(f, "{remark}")?;
        }
        let [refusals, warnings, notes, unreadable] =
            [Severity::Refused, Severity::Warning, Severity::Note, Severity::Unreadable].map(|of| self.count(of));
        write!(
            f,
            "objects: {}, refusals: {refusals}, warnings: {warnings}, notes: {notes}, unreadable: {unreadable}",
            self.objects
        )
    }
}
