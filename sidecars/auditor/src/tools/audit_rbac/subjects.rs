//! Whom a binding gives rights to, seen from an enclave.

use k8s_openapi::api::rbac::v1::Subject;
use tentacular_contract::text::line;

use super::LONGEST;

/// Groups and users that stand for more people or accounts than anybody has chosen.
const EVERYBODY: [&str; 4] =
    ["system:authenticated", "system:unauthenticated", "system:anonymous", "system:serviceaccounts"];

/// How a subject reaches the accounts of an enclave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// It is one of them, or all of them.
    Own,
    /// It is everybody, they among others.
    Everybody,
}

/// How `subject` reaches the accounts of the enclave, if it does.
pub(super) fn reach(subject: &Subject, enclave: &str) -> Option<Reach> {
    if is_everybody(subject) {
        return Some(Reach::Everybody);
    }
    (namespace_of(subject)? == enclave).then_some(Reach::Own)
}

/// Whether it stands for more than anybody has chosen.
pub(super) fn is_everybody(subject: &Subject) -> bool {
    subject.kind != "ServiceAccount" && EVERYBODY.contains(&subject.name.as_str())
}

/// The namespace of the account or accounts that it is, however it is spelled.
pub(super) fn namespace_of(subject: &Subject) -> Option<&str> {
    match subject.kind.as_str() {
        "ServiceAccount" => subject.namespace.as_deref(),
        "User" => subject.name.strip_prefix("system:serviceaccount:")?.split(':').next(),
        "Group" => subject.name.strip_prefix("system:serviceaccounts:"),
        _ => None,
    }
}

/// It in words.
pub(super) fn shown(subject: &Subject) -> String {
    let text = match &subject.namespace {
        Some(namespace) => format!("{} {namespace}/{}", subject.kind, subject.name),
        None => format!("{} {}", subject.kind, subject.name),
    };
    line(&text, LONGEST)
}

/// Several in words.
pub(super) fn all_shown<'a>(subjects: impl IntoIterator<Item = &'a Subject>) -> String {
    const SHOWN: usize = 5;
    let all: Vec<_> = subjects.into_iter().map(shown).collect();
    match all.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        Some(more) => format!("{} and {more} more", all[..SHOWN].join(", ")),
        None => all.join(", "),
    }
}
