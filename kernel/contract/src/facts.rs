//! What the evaluator needs to know of an enclave and of a tentacle, read from their metadata.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    caller::{Email, Identity, Owner},
    keys,
    mode::{Class, Mode},
    names::EnclaveName,
};

/// Labels or annotations of an object.
pub type Pairs = BTreeMap<String, String>;

fn value<'a>(pairs: &'a Pairs, key: &str) -> Option<&'a str> {
    pairs.get(key).map(|text| text.trim()).filter(|text| !text.is_empty())
}

/// The mode in `pairs`. One that cannot be read leaves everything to the owner.
fn mode(pairs: &Pairs, key: &str, default: Mode) -> Mode {
    value(pairs, key).map_or(default, |text| text.parse().unwrap_or(Mode::OWNER_ONLY))
}

/// Where an enclave is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Being made; the last write of `enclave_provision` makes it active.
    Provisioning,
    /// In use.
    Active,
    /// No apply, run, restart or cron; reads and removal stay.
    Frozen,
}

impl Status {
    /// How the status annotation spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "provisioning",
            Self::Active => "active",
            Self::Frozen => "frozen",
        }
    }
}

/// An enclave, as its namespace's metadata says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enclave {
    /// Its name.
    pub name: EnclaveName,
    /// Who owns it, if anybody.
    pub owner: Option<Owner>,
    /// Its members, the owner not among them.
    pub members: BTreeSet<Email>,
    /// What members and others may do.
    pub mode: Mode,
    /// The mode of tentacles created in it later.
    pub default_mode: Mode,
    /// Where it is in its life. A status that cannot be read counts as frozen.
    pub status: Status,
    /// Whether the namespace is being deleted.
    pub terminating: bool,
}

impl Enclave {
    /// The enclave that a namespace is, or `None` when it lacks the label or the annotation that make it one.
    pub fn from_metadata(name: &str, labels: &Pairs, annotations: &Pairs, terminating: bool) -> Option<Self> {
        if value(labels, keys::MANAGED_BY) != Some(keys::TENTACULAR) || value(annotations, keys::ENCLAVE).is_none() {
            return None;
        }
        let members = value(annotations, keys::ENCLAVE_MEMBERS).unwrap_or_default();
        Some(Self {
            name: name.parse().ok()?,
            owner: Owner::from_annotations(
                value(annotations, keys::ENCLAVE_OWNER_SUB),
                value(annotations, keys::ENCLAVE_OWNER),
            ),
            members: members.split(',').filter_map(|member| member.trim().parse().ok()).collect(),
            mode: mode(annotations, keys::MODE, Mode::ENCLAVE_DEFAULT),
            default_mode: mode(annotations, keys::ENCLAVE_DEFAULT_MODE, Mode::TENTACLE_DEFAULT),
            status: match value(annotations, keys::ENCLAVE_STATUS) {
                None | Some("active") => Status::Active,
                Some("provisioning") => Status::Provisioning,
                Some(_) => Status::Frozen,
            },
            terminating,
        })
    }

    /// Whether `identity` owns this enclave.
    pub fn is_owned_by(&self, identity: &Identity) -> bool {
        self.owner.as_ref().is_some_and(|owner| identity.is(owner))
    }

    /// Whether `identity` is a member of this enclave. Members are known by email alone.
    pub fn has_member(&self, identity: &Identity) -> bool {
        identity.email.as_ref().is_some_and(|email| self.members.contains(email))
    }

    /// The class of `identity` in this enclave.
    pub fn class_of(&self, identity: &Identity) -> Class {
        if self.is_owned_by(identity) {
            Class::Owner
        } else if self.has_member(identity) {
            Class::Member
        } else {
            Class::Other
        }
    }
}

/// A tentacle, as its Deployment's metadata says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tentacle {
    /// Who owns it, if anybody.
    pub owner: Option<Owner>,
    /// What its owner, members of the enclave and others may do.
    pub mode: Mode,
}

impl Tentacle {
    /// The tentacle that a Deployment is, or `None` when the server does not manage it.
    pub fn from_metadata(labels: &Pairs, annotations: &Pairs) -> Option<Self> {
        (value(labels, keys::MANAGED_BY) == Some(keys::TENTACULAR)).then(|| Self::from_annotations(annotations))
    }

    /// The tentacle that a Deployment with these annotations is.
    pub fn from_annotations(annotations: &Pairs) -> Self {
        let email = value(annotations, keys::OWNER).or_else(|| value(annotations, keys::OWNER_EMAIL));
        Self {
            owner: Owner::from_annotations(value(annotations, keys::OWNER_SUB), email),
            mode: mode(annotations, keys::MODE, Mode::TENTACLE_DEFAULT),
        }
    }

    /// The class of `identity` on this tentacle, where it is `in_enclave` in the enclave.
    pub fn class_of(&self, identity: &Identity, in_enclave: Class) -> Class {
        if self.owner.as_ref().is_some_and(|owner| identity.is(owner)) { Class::Owner } else { in_enclave }
    }
}

/// What stands where the arguments of a call point to.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// A namespace that is never an enclave.
    Protected,
    /// No namespace of that name, or one that is no enclave.
    NoEnclave,
    /// An enclave.
    Enclave(&'a Enclave),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Pairs {
        list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn managed() -> Pairs {
        pairs(&[(keys::MANAGED_BY, keys::TENTACULAR)])
    }

    #[test]
    fn a_namespace_needs_label_and_annotation_to_be_an_enclave() {
        let annotation = pairs(&[(keys::ENCLAVE, "team-a")]);
        assert!(Enclave::from_metadata("team-a", &managed(), &annotation, false).is_some());
        assert!(Enclave::from_metadata("team-a", &Pairs::new(), &annotation, false).is_none());
        assert!(Enclave::from_metadata("team-a", &managed(), &Pairs::new(), false).is_none());
        assert!(Enclave::from_metadata("team-a", &managed(), &pairs(&[(keys::ENCLAVE, " ")]), false).is_none());
    }

    #[test]
    fn what_cannot_be_read_gives_no_right() {
        let annotations = pairs(&[
            (keys::ENCLAVE, "team-a"),
            (keys::MODE, "rwxrwxrw?"),
            (keys::ENCLAVE_STATUS, "forzen"),
            (keys::ENCLAVE_OWNER, "nobody"),
            (keys::ENCLAVE_MEMBERS, "A@x.io, ,b@x.io,,no-address"),
        ]);
        let enclave = Enclave::from_metadata("team-a", &managed(), &annotations, false).expect("an enclave");
        assert_eq!(enclave.mode.to_string(), "rwx------");
        assert_eq!(enclave.status, Status::Frozen);
        assert_eq!(enclave.owner, None);
        assert_eq!(enclave.members.iter().map(Email::as_str).collect::<Vec<_>>(), ["a@x.io", "b@x.io"]);
        let tentacle = Tentacle::from_annotations(&pairs(&[(keys::MODE, "777")]));
        assert_eq!(tentacle, Tentacle { owner: None, mode: Mode::OWNER_ONLY });
    }

    #[test]
    fn absent_annotations_mean_the_defaults() {
        let enclave =
            Enclave::from_metadata("a", &managed(), &pairs(&[(keys::ENCLAVE, "a"), (keys::MODE, "")]), true)
                .expect("an enclave");
        assert_eq!((enclave.mode, enclave.status), (Mode::ENCLAVE_DEFAULT, Status::Active));
        assert!(enclave.terminating);
        assert_eq!(Tentacle::from_annotations(&Pairs::new()).mode, Mode::TENTACLE_DEFAULT);
    }
}
