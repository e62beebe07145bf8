//! Whose share it is, and what that share is called in services whose names are short and have few characters.

use std::{fmt, str::FromStr};

use sha2::{Digest as _, Sha256};
use tentacular_contract::{EnclaveName, TentacleName};

/// Longest readable part of a name. With what follows it, and two characters for a login, it stays within the 63 bytes after
/// which PostgreSQL cuts names off without a word.
const READABLE: usize = 52;
/// What its identity begins with: SPIRE's trust domain, and what comes before the enclave's name.
const IDENTITY: &str = "spiffe://tentacular/ns/";

/// A tentacle that uses backing services.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tenant {
    pub(crate) enclave: EnclaveName,
    pub(crate) tentacle: TentacleName,
}

impl Tenant {
    /// Its SPIFFE identity.
    pub(crate) fn principal(&self) -> String {
        format!("{IDENTITY}{}/tentacles/{}", self.enclave, self.tentacle)
    }

    /// Whose identity that is, if a tentacle's.
    pub(super) fn of_principal(principal: &str) -> Option<Self> {
        let (enclave, tentacle) = principal.strip_prefix(IDENTITY)?.split_once("/tentacles/")?;
        Some(Self { enclave: enclave.parse().ok()?, tentacle: tentacle.parse().ok()? })
    }

    /// What its share is called: readable, and with digits that no other tentacle's name has. `a-b/c` and `a/b-c` read alike.
    pub(crate) fn share_name(&self) -> String {
        let readable = format!("tn_{}_{}", self.enclave, self.tentacle).replace('-', "_");
        let digest = Sha256::digest(self.to_string());
        // Both names are ASCII.
        format!("{}_{}", &readable[..readable.len().min(READABLE)], hex::encode(&digest[..4]))
    }
}

#[cfg(test)]
impl Tenant {
    /// Tenants whose names read alike, begin alike, or are as long as a name may be.
    pub(super) fn hostile() -> [Self; 6] {
        let (long, longer) = ("x".repeat(62), "x".repeat(63));
        [("a-b", "c"), ("a", "b-c"), ("a", "b"), ("a", "b-cc"), (&long, &longer), (&longer, &long)]
            .map(|(enclave, tentacle)| format!("{enclave}/{tentacle}").parse().expect("a tenant"))
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.enclave, self.tentacle)
    }
}

/// As it is displayed.
impl FromStr for Tenant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (enclave, tentacle) = text.split_once('/').ok_or_else(|| "it is not enclave/tentacle".to_owned())?;
        let enclave = enclave.parse().map_err(|error| format!("{error}"))?;
        let tentacle = tentacle.parse().map_err(|error| format!("{error}"))?;
        Ok(Self { enclave, tentacle })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn name(enclave: &str, tentacle: &str) -> String {
        Tenant { enclave: enclave.parse().unwrap(), tentacle: tentacle.parse().unwrap() }.share_name()
    }

    #[test]
    fn names_that_read_alike_are_different_and_never_too_long() {
        let (long, longer) = ("x".repeat(62), "x".repeat(63));
        let places = [("a-b", "c"), ("a", "b-c"), ("a-b-c", "d"), ("a", "b-c-d"), (&long, &longer), (&longer, &long)];
        let names: BTreeSet<_> = places.iter().map(|(enclave, tentacle)| name(enclave, tentacle)).collect();
        assert_eq!(names.len(), places.len());
        for name in &names {
            assert!(name.len() <= 61, "{name}");
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            assert!(name.bytes().all(plain), "{name}");
        }
        // A name that was given is looked for again: another rule would lose what is there.
        assert_eq!(name("team-a", "report"), "tn_team_a_report_99aa2310");
    }
}
