//! What annotations say, by the parsers of those who read them; and the driver of the tables, one a kind.
//!
//! An annotation is refused only when the write at hand brings it or changes it. An empty value counts as absent, as it
//! does for readers.

use tentacular_contract::{Email, Mode, limits};

use super::{
    Finding, Kind, Operation, Request, Verdict, deployment, namespace,
    object::{Texts, texts},
};

/// What a reader says of a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// It can be read.
    Valid,
    /// It can be read in more than one way, or else should be written otherwise.
    Doubtful(String),
    /// It cannot be read.
    Invalid(String),
}

impl<T, E: ToString> From<Result<T, E>> for Read {
    fn from(result: Result<T, E>) -> Self {
        match result {
            Ok(_) => Self::Valid,
            Err(error) => Self::Invalid(error.to_string()),
        }
    }
}

/// An annotation and what reads it: the parser of whoever reads it in earnest.
pub(super) struct Rule {
    /// The name by which a refusal calls it.
    pub(super) name: &'static str,
    /// The annotation's key.
    pub(super) key: &'static str,
    /// Reads a value that is not empty.
    pub(super) read: fn(&str) -> Read,
}

/// Judges the annotations that a write would store. Through the status of an object they can be written too.
pub(super) fn verdict(request: &Request<'_>) -> Verdict {
    if request.operation == Operation::Delete || request.subresource == Some("scale") {
        return Verdict::default();
    }
    let new = || texts(request.object, "annotations");
    let old = || request.old.map(|old| texts(Some(old), "annotations"));
    match request.kind {
        Kind::NAMESPACE => judge(namespace::RULES, &new(), old().as_ref()),
        Kind::DEPLOYMENT => {
            let (new, old) = (new(), old());
            judge(deployment::RULES, &new, old.as_ref()).and(deployment::older(&new, old.as_ref()))
        }
        Kind::CRON_JOB if request.operation == Operation::Create => deployment::cron_job(),
        _ => Verdict::default(),
    }
}

/// Applies `rules` to the annotations that a write would store.
pub(super) fn judge(rules: &[Rule], new: &Texts<'_>, old: Option<&Texts<'_>>) -> Verdict {
    let mut verdict = Verdict::default();
    for rule in rules {
        let Some(value) = new.get(rule.key).filter(|value| !value.trim().is_empty()) else { continue };
        let unchanged = old.and_then(|old| old.get(rule.key)) == Some(value);
        let finding = |problem: String| Finding::new(rule.name, path(rule.key), problem);
        match (rule.read)(value.trim()) {
            Read::Valid => {}
            Read::Invalid(problem) if !unchanged => verdict.violations.push(finding(problem)),
            Read::Invalid(problem) | Read::Doubtful(problem) => verdict.warnings.push(finding(problem)),
        }
    }
    verdict
}

/// The field of an annotation.
pub(super) fn path(key: &str) -> String {
    format!("metadata.annotations[{key}]")
}

/// A permission mode or the name of a preset.
pub(super) fn mode(text: &str) -> Read {
    text.parse::<Mode>().into()
}

/// One email address.
pub(super) fn email(text: &str) -> Read {
    text.parse::<Email>().into()
}

/// A text for people, of which answers show only the beginning when it is long.
pub(super) fn text(text: &str) -> Read {
    let (characters, limit) = (text.chars().count(), limits::SHOWN_CHARACTERS);
    if characters <= limit {
        return Read::Valid;
    }
    Read::Doubtful(format!("of {characters} characters only the first {limit} are shown; shorten it"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What a table says of a value.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(in crate::admit) enum Expect {
        Allowed,
        Warned(&'static str),
        Refused(&'static str),
    }

    fn annotations<'a>(key: &'a str, value: &'a str) -> Texts<'a> {
        Texts::from([(key, value)])
    }

    /// Holds one value against the rules, on create.
    pub(in crate::admit) fn check(rules: &[Rule], key: &str, value: &str, expect: Expect) {
        let verdict = judge(rules, &annotations(key, value), None);
        let only = |findings: &[Finding], needle: &str| {
            assert!(findings.len() == 1 && findings[0].to_string().contains(needle), "{key}={value}: {verdict:?}");
            assert_eq!(findings[0].field, path(key));
        };
        match expect {
            Expect::Allowed => assert_eq!(verdict, Verdict::default(), "{key}={value}"),
            Expect::Warned(needle) => {
                only(&verdict.warnings, needle);
                assert!(verdict.violations.is_empty(), "{key}={value}: {verdict:?}");
            }
            Expect::Refused(needle) => {
                only(&verdict.violations, needle);
                assert!(verdict.warnings.is_empty(), "{key}={value}: {verdict:?}");
            }
        }
    }

    const RULES: &[Rule] =
        &[Rule { name: "first", key: "a", read: mode }, Rule { name: "second", key: "b", read: email }];

    #[test]
    fn only_what_a_write_brings_is_refused() {
        let bad = annotations("a", "bad");
        let worse = annotations("a", "worse");
        for (old, refused) in [(None, true), (Some(&bad), false), (Some(&worse), true), (Some(&Texts::new()), true)] {
            let verdict = judge(RULES, &bad, old);
            assert_eq!(verdict.violations.len(), usize::from(refused), "{old:?}");
            assert_eq!(verdict.warnings.len(), usize::from(!refused), "{old:?}");
        }
        assert_eq!(judge(RULES, &Texts::new(), Some(&bad)), Verdict::default());
        assert_eq!(judge(RULES, &annotations("a", " "), Some(&bad)), Verdict::default());
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let mut both = annotations("a", "bad");
        both.extend(annotations("b", "nobody"));
        let verdict = judge(RULES, &both, None);
        assert_eq!(verdict.violations.iter().map(|finding| finding.rule).collect::<Vec<_>>(), ["first", "second"]);
        let text = verdict.violations[0].to_string();
        for part in ["metadata.annotations[a]", "\"bad\"", "rwxr-x---", "rule first"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
