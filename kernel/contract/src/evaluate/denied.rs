//! Refusals, and what their callers are told.

use std::fmt;

use crate::{
    authz::Needs,
    mode::{Bit, Class, Mode},
    names::{EnclaveName, TentacleName},
};

/// Why a call was refused. The text is for the caller: it never tells somebody without read on the enclave whether
/// the tentacle exists.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The namespace is never an enclave.
    #[error("permission denied: namespace {0} is protected and never an enclave")]
    Protected(EnclaveName),
    /// The tool acts on a place, and none was named.
    #[error("permission denied: {0} acts on an enclave, and none is named")]
    NoPlace(String),
    /// There is no enclave of that name.
    #[error("there is no enclave {0}; enclave_list shows those that you may read")]
    NoEnclave(EnclaveName),
    /// The enclave is being deleted.
    #[error("permission denied: enclave {0} is being deleted; only reading is left")]
    Terminating(EnclaveName),
    /// The enclave is frozen and the tool is refused there.
    #[error("enclave {0} is frozen: apply, run and restart are refused until its owner sets it active")]
    Frozen(EnclaveName),
    /// Nobody owns the enclave or the tentacle.
    #[error("permission denied: {needs} on {target}: resource has no owner", needs = word(*.0), target = .1)]
    NoOwner(Needs, Target),
    /// The class of the caller lacks the bit.
    #[error(
        "permission denied: {needs} on {on} needs {letter} for {class}, mode is {mode}",
        needs = word(*needs), letter = bit.letter()
    )]
    Bit {
        /// What was needed.
        needs: Needs,
        /// Where the bit is missing.
        on: Target,
        /// The missing bit.
        bit: Bit,
        /// The class of the caller there.
        class: Class,
        /// The mode there.
        mode: Mode,
    },
    /// Only the owner may do this.
    #[error("permission denied: own on {0} is for its owner alone")]
    OwnerOnly(Target),
    /// The tentacle does not exist, and the caller may know.
    #[error("permission denied: {needs} on {target}: it does not exist", needs = word(*.0), target = .1)]
    Absent(Needs, Target),
    /// The caller may not even know whether the tentacle exists.
    #[error(
        "permission denied: {needs} on {target}: it does not exist, or you may not",
        needs = word(*.0), target = .1
    )]
    Hidden(Needs, Target),
    /// Only the bearer token may do this.
    #[error("permission denied: {0} is for the bearer token alone")]
    BearerOnly(String),
}

impl Denied {
    /// The rule that refused, as a label for logs and metrics.
    pub const fn rule(&self) -> &'static str {
        match self {
            Self::Protected(_) => "protected",
            Self::NoPlace(_) => "no-place",
            Self::NoEnclave(_) => "no-enclave",
            Self::Terminating(_) => "terminating",
            Self::Frozen(_) => "frozen",
            Self::NoOwner(..) => "no-owner",
            Self::Bit { .. } => "mode",
            Self::OwnerOnly(_) => "owner-only",
            Self::Absent(..) => "absent",
            Self::Hidden(..) => "hidden",
            Self::BearerOnly(_) => "bearer-only",
        }
    }
}

/// What a refusal names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub(super) enclave: EnclaveName,
    pub(super) tentacle: Option<TentacleName>,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tentacle {
            Some(tentacle) => write!(f, "tentacle {}/{tentacle}", self.enclave),
            None => write!(f, "enclave {}", self.enclave),
        }
    }
}

const fn word(needs: Needs) -> &'static str {
    match needs {
        Needs::None => "access",
        needs => needs.label(),
    }
}
