//! What a tool declares in `_meta["tentacular.io/authz"]`: what it acts on, what right it needs, where the arguments
//! name the place. A tool whose declaration does not parse is neither listed nor callable.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::limits::{DEADLINE_SECONDS, DEFAULT_DEADLINE_SECONDS};

/// What a tool acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum On {
    /// One tentacle in one enclave.
    Tentacle,
    /// One enclave; a tentacle that is named narrows the right to it.
    Enclave,
    /// The cluster as a whole; an enclave that is named needs its read as well.
    Cluster,
    /// Whatever the caller may see; a place that is named counts as that place.
    Caller,
}

/// The right a tool needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Needs {
    /// The `r` bit.
    Read,
    /// The `w` bit.
    Write,
    /// The `x` bit.
    Execute,
    /// Ownership.
    Own,
    /// Nothing beyond being authenticated.
    None,
}

impl Needs {
    /// How a declaration spells it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Execute => "execute",
            Self::Own => "own",
            Self::None => "none",
        }
    }
}

/// What happens when the tentacle does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Absent {
    /// The call creates it: the enclave's write is enough.
    Create,
}

/// What happens in a frozen enclave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Frozen {
    /// The call is refused.
    Refuse,
}

/// A tool's authorization declaration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authz {
    /// What the tool acts on.
    pub on: On,
    /// The right it needs there.
    pub needs: Needs,
    /// JSON pointers (RFC 6901) to the enclave's name in the arguments; the first present one counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub enclave: Vec<String>,
    /// JSON pointers to the tentacle's name in the arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tentacle: Vec<String>,
    /// What happens when the tentacle does not exist; left out, only the enclave's owner may go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<Absent>,
    /// What happens in a frozen enclave; left out, the call goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<Frozen>,
    /// How long a call may take, in seconds.
    #[serde(default = "default_deadline")]
    pub deadline_seconds: u64,
}

const fn default_deadline() -> u64 {
    DEFAULT_DEADLINE_SECONDS
}

/// A declaration that does not say clearly what a tool needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAuthz {
    /// The member is not there at all.
    #[error("the tool has no _meta[\"tentacular.io/authz\"]")]
    Missing,
    /// A member is missing, unknown or of the wrong type.
    #[error("{0}")]
    Malformed(String),
    /// The members contradict each other.
    #[error("{0}")]
    Contradiction(&'static str),
}

impl Authz {
    /// A declaration without places, with the default deadline.
    pub const fn new(on: On, needs: Needs) -> Self {
        Self {
            on,
            needs,
            enclave: Vec::new(),
            tentacle: Vec::new(),
            absent: None,
            frozen: None,
            deadline_seconds: DEFAULT_DEADLINE_SECONDS,
        }
    }

    /// Names where the arguments hold the enclave's name.
    #[must_use]
    pub fn enclave_at(mut self, pointers: &[&str]) -> Self {
        self.enclave = pointers.iter().map(|&pointer| pointer.to_owned()).collect();
        self
    }

    /// Names where the arguments hold the tentacle's name.
    #[must_use]
    pub fn tentacle_at(mut self, pointers: &[&str]) -> Self {
        self.tentacle = pointers.iter().map(|&pointer| pointer.to_owned()).collect();
        self
    }

    /// The call creates a tentacle that does not exist.
    #[must_use]
    pub const fn creates(mut self) -> Self {
        self.absent = Some(Absent::Create);
        self
    }

    /// The call is refused in a frozen enclave.
    #[must_use]
    pub const fn not_frozen(mut self) -> Self {
        self.frozen = Some(Frozen::Refuse);
        self
    }

    /// How long a call may take.
    #[must_use]
    pub const fn within_seconds(mut self, seconds: u64) -> Self {
        self.deadline_seconds = seconds;
        self
    }

    /// Reads and checks a declaration as it stands in a tool's `_meta`.
    pub fn parse(declaration: Option<&Value>) -> Result<Self, InvalidAuthz> {
        let declaration = declaration.ok_or(InvalidAuthz::Missing)?;
        let authz = Self::deserialize(declaration).map_err(|error| InvalidAuthz::Malformed(error.to_string()))?;
        authz.check()?;
        Ok(authz)
    }

    fn check(&self) -> Result<(), InvalidAuthz> {
        let contradictions = [
            (
                self.on == On::Tentacle && self.tentacle.is_empty(),
                "on tentacle needs a pointer to the tentacle's name",
            ),
            (
                matches!(self.on, On::Tentacle | On::Enclave) && self.needs == Needs::None,
                "a tool on a tentacle or an enclave must need a right",
            ),
            (self.on == On::Enclave && self.enclave.is_empty(), "on enclave needs a pointer to the enclave's name"),
            (
                self.absent.is_some() && (self.on != On::Tentacle || self.needs != Needs::Write),
                "absent create goes with on tentacle and needs write",
            ),
            (
                matches!(self.on, On::Cluster) && matches!(self.needs, Needs::Write | Needs::Execute),
                "a tool on the cluster needs read, own or none",
            ),
            (!(1..=DEADLINE_SECONDS).contains(&self.deadline_seconds), "deadline_seconds must be from 1 to 630"),
            (
                !self.enclave.iter().chain(&self.tentacle).all(|pointer| is_member_pointer(pointer)),
                "a pointer must begin with '/' and name members (RFC 6901)",
            ),
        ];
        match contradictions.into_iter().find(|(wrong, _)| *wrong) {
            Some((_, what)) => Err(InvalidAuthz::Contradiction(what)),
            None => Ok(()),
        }
    }
}

/// Whether `pointer` is a JSON pointer to a member, escapes (`~0`, `~1`) well formed.
fn is_member_pointer(pointer: &str) -> bool {
    let escapes_are_valid = || {
        let mut rest = pointer.split('~');
        rest.next();
        rest.all(|after| after.starts_with(['0', '1']))
    };
    pointer.len() > 1 && pointer.starts_with('/') && escapes_are_valid()
}

/// The member names along a pointer, unescaped.
pub fn pointer_members(pointer: &str) -> impl Iterator<Item = String> + '_ {
    pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_full_declaration_is_read() {
        let declaration = json!({
            "on": "tentacle", "needs": "write", "enclave": ["/enclave", "/namespace"], "tentacle": ["/name"],
            "absent": "create", "frozen": "refuse", "deadline_seconds": 300
        });
        let authz = Authz::parse(Some(&declaration)).expect("valid");
        let built = Authz::new(On::Tentacle, Needs::Write)
            .enclave_at(&["/enclave", "/namespace"])
            .tentacle_at(&["/name"])
            .creates()
            .not_frozen()
            .within_seconds(300);
        assert_eq!(authz, built);
        assert_eq!(serde_json::to_value(&authz).expect("JSON"), declaration);
    }

    #[test]
    fn what_is_not_clear_is_refused() {
        for declaration in [
            json!(null),
            json!({}),
            json!({"on": "tentacle"}),
            json!({"on": "tentacle", "needs": "write"}),
            json!({"on": "Tentacle", "needs": "write", "tentacle": ["/name"]}),
            json!({"on": "tentacle", "needs": "none", "tentacle": ["/name"]}),
            json!({"on": "tentacle", "needs": "read", "tentacle": ["/name"], "absent": "create"}),
            json!({"on": "tentacle", "needs": "read", "tentacle": ["name"]}),
            json!({"on": "tentacle", "needs": "read", "tentacle": ["/na~2me"]}),
            json!({"on": "enclave", "needs": "read"}),
            json!({"on": "cluster", "needs": "write"}),
            json!({"on": "caller", "needs": "read", "deadline_seconds": 0}),
            json!({"on": "caller", "needs": "read", "deadline_seconds": 631}),
            json!({"on": "caller", "needs": "read", "also": "this"}),
            json!("read"),
        ] {
            assert!(Authz::parse(Some(&declaration)).is_err(), "{declaration}");
        }
        assert_eq!(Authz::parse(None), Err(InvalidAuthz::Missing));
    }

    #[test]
    fn a_label_is_how_a_declaration_spells_it() {
        for needs in [Needs::Read, Needs::Write, Needs::Execute, Needs::Own, Needs::None] {
            assert_eq!(json!(needs), needs.label());
        }
    }

    #[test]
    fn pointers_are_unescaped() {
        assert_eq!(pointer_members("/a~1b/c~0d").collect::<Vec<_>>(), ["a/b", "c~d"]);
    }
}
