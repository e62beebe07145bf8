//! A decision as a value. Only the evaluator makes a [`Permit`]; a sidecar reads it from the permit header.

use serde::{Deserialize, Serialize};

use crate::{
    authz::Needs,
    header::{self, Malformed},
    names::{EnclaveName, TentacleName},
};

/// The version of the permit's layout.
const VERSION: u8 = 1;

/// The right that was granted; `none` where nothing beyond authentication was needed or nothing could be granted.
pub type Right = Needs;

/// Which rule of the evaluator allowed the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The bearer token passes every check.
    Bearer,
    /// Authorization is switched off.
    AuthorizationOff,
    /// The enclave's owner may do everything in it.
    EnclaveOwner,
    /// The tentacle's owner, still a member, needs ownership.
    TentacleOwner,
    /// The mode of the enclave, and of the tentacle where there is one, has the bit for the caller's class.
    Mode,
    /// The tool needs nothing beyond authentication, or no place was named.
    Authenticated,
}

impl Rule {
    /// How the permit spells it; also a label for logs and metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::AuthorizationOff => "authorization-off",
            Self::EnclaveOwner => "enclave-owner",
            Self::TentacleOwner => "tentacle-owner",
            Self::Mode => "mode",
            Self::Authenticated => "authenticated",
        }
    }
}

/// What was allowed, to be acted on as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permit {
    v: u8,
    tool: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    enclave: Option<EnclaveName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tentacle: Option<TentacleName>,
    exists: bool,
    right: Right,
    rule: Rule,
    authz: bool,
}

/// What the evaluator found, in the words of the permit.
pub(crate) struct Granted {
    pub(crate) tool: String,
    pub(crate) enclave: Option<EnclaveName>,
    pub(crate) tentacle: Option<TentacleName>,
    pub(crate) exists: bool,
    pub(crate) right: Right,
    pub(crate) rule: Rule,
    pub(crate) authz: bool,
}

impl From<Granted> for Permit {
    fn from(granted: Granted) -> Self {
        let Granted { tool, enclave, tentacle, exists, right, rule, authz } = granted;
        Self { v: VERSION, tool, enclave, tentacle, exists, right, rule, authz }
    }
}

impl Permit {
    /// The tool as the request's body spells it.
    pub fn tool(&self) -> &str {
        &self.tool
    }

    /// The enclave, where the call has one.
    pub const fn enclave(&self) -> Option<&EnclaveName> {
        self.enclave.as_ref()
    }

    /// The tentacle, where the call has one.
    pub const fn tentacle(&self) -> Option<&TentacleName> {
        self.tentacle.as_ref()
    }

    /// Whether the tentacle existed when the kernel decided; without a tentacle, whether the enclave did.
    pub const fn exists(&self) -> bool {
        self.exists
    }

    /// The right that was granted.
    pub const fn right(&self) -> Right {
        self.right
    }

    /// The rule that granted it.
    pub const fn rule(&self) -> Rule {
        self.rule
    }

    /// Whether authorization is switched on in the kernel.
    pub const fn authorization(&self) -> bool {
        self.authz
    }

    /// The value of the permit header.
    pub fn to_header(&self) -> String {
        header::encode(self)
    }

    /// Reads the permit header that the kernel wrote. Whoever calls this must know that the kernel did.
    pub fn from_header(text: &str) -> Result<Self, Malformed> {
        let permit: Self = header::decode(text)?;
        if permit.v != VERSION {
            return Err(Malformed(format!("permit version {} is not {VERSION}", permit.v)));
        }
        Ok(permit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_how_the_permit_spells_it() {
        for rule in [
            Rule::Bearer,
            Rule::AuthorizationOff,
            Rule::EnclaveOwner,
            Rule::TentacleOwner,
            Rule::Mode,
            Rule::Authenticated,
        ] {
            assert_eq!(serde_json::json!(rule), rule.label());
        }
    }
}
