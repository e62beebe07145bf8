//! What a tool declares of who may call it, in words.

use tentacular_contract::{Absent, Authz, Frozen, Needs, On};

/// What a caller needs.
pub(crate) fn needed(authz: &Authz) -> String {
    const OF_ENCLAVE: &str = "ownership of the enclave";
    let right = authz.needs.label();
    match (authz.on, authz.needs) {
        (On::Tentacle, Needs::Own) => {
            format!("ownership of the tentacle by a member of the enclave, or {OF_ENCLAVE}")
        }
        (On::Tentacle, _) => match authz.absent {
            Some(Absent::Create) => {
                format!("{right} on the tentacle; as long as it does not exist, {right} on the enclave")
            }
            None => format!("{right} on the tentacle; when it does not exist, {OF_ENCLAVE}"),
        },
        (On::Enclave, Needs::Own) => OF_ENCLAVE.to_owned(),
        (On::Enclave, _) => format!("{right} on the enclave"),
        (On::Cluster, Needs::Own) => "the bearer token".to_owned(),
        (On::Cluster, _) if authz.enclave.is_empty() => CLUSTER.to_owned(),
        (On::Cluster, _) => format!("{CLUSTER}; for an enclave that is named, read on it"),
        (On::Caller, Needs::None) => "nothing beyond being authenticated".to_owned(),
        (On::Caller, _) => {
            format!("nothing beyond being authenticated; the call is about what the caller has {right} on")
        }
    }
}

/// A cluster tool that only reads.
const CLUSTER: &str =
    "nothing beyond being authenticated, unless the installation keeps such tools for the bearer token";

/// Whether it is refused in a frozen enclave.
pub(crate) fn refused_when_frozen(authz: &Authz) -> bool {
    authz.frozen == Some(Frozen::Refuse)
}

/// The same in a few words, for an overview.
pub(crate) fn brief(authz: &Authz) -> String {
    match (authz.on, authz.needs) {
        (On::Tentacle, needs) => format!("{} on the tentacle", needs.label()),
        (On::Enclave, needs) => format!("{} on the enclave", needs.label()),
        (On::Cluster, Needs::Own) => "bearer token".to_owned(),
        (On::Cluster, _) | (On::Caller, Needs::None) => "none".to_owned(),
        (On::Caller, needs) => format!("none, within what the caller may {}", needs.label()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_exist_needs_what_the_declaration_says_of_it() {
        let write = Authz::new(On::Tentacle, Needs::Write);
        assert_eq!(needed(&write), "write on the tentacle; when it does not exist, ownership of the enclave");
        let create = write.creates();
        assert_eq!(needed(&create), "write on the tentacle; as long as it does not exist, write on the enclave");
        let own = Authz::new(On::Tentacle, Needs::Own);
        assert_eq!(needed(&own), "ownership of the tentacle by a member of the enclave, or ownership of the enclave");
    }

    #[test]
    fn a_tool_on_the_cluster_says_who_may_and_what_an_enclave_needs() {
        assert_eq!(needed(&Authz::new(On::Cluster, Needs::Own)), "the bearer token");
        let read = Authz::new(On::Cluster, Needs::Read);
        assert_eq!(needed(&read), CLUSTER);
        assert_eq!(
            needed(&read.enclave_at(&["/enclave"])),
            format!("{CLUSTER}; for an enclave that is named, read on it")
        );
    }
}
