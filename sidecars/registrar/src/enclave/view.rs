//! What an enclave's metadata shows to a caller.

use k8s_openapi::{api::apps::v1::Deployment, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use schemars::JsonSchema;
use serde::Serialize;
use tentacular_cluster::{Cluster, Error, Metadata, Selector};
use tentacular_contract::{
    Caller, Enclave, Tentacle, TentacleName, facts::Pairs, keys, limits::SHOWN_CHARACTERS, text,
};

/// What the caller is to an enclave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CallerRole {
    /// Its owner.
    Owner,
    /// One of its members.
    Member,
    /// Somebody else.
    Other,
    /// The bearer token, which may do everything and is nobody.
    Bearer,
}

impl CallerRole {
    pub(crate) fn of(caller: &Caller, enclave: &Enclave) -> Self {
        match caller.identity() {
            None => Self::Bearer,
            Some(identity) if enclave.is_owned_by(identity) => Self::Owner,
            Some(identity) if enclave.has_member(identity) => Self::Member,
            Some(_) => Self::Other,
        }
    }
}

/// An annotation that is there and not empty, as it may be shown: whoever may write to the namespace wrote it.
pub(crate) fn annotation(metadata: &ObjectMeta, key: &str) -> Option<String> {
    let text = metadata.annotations.as_ref()?.get(key)?;
    Some(text::line(text, SHOWN_CHARACTERS)).filter(|text| !text.is_empty())
}

/// The owner's email address, empty where there is none.
pub(crate) fn owner(enclave: &Enclave) -> String {
    let email = enclave.owner.as_ref().and_then(|owner| owner.email.as_ref());
    email.map(ToString::to_string).unwrap_or_default()
}

/// The members' email addresses.
pub(crate) fn members(enclave: &Enclave) -> Vec<String> {
    enclave.members.iter().map(ToString::to_string).collect()
}

/// How many tentacles there are in the enclave, which is as many as `wf_list` knows of it.
pub(crate) async fn tentacles(cluster: &Cluster, enclave: &str) -> Result<usize, Error> {
    let deployments = cluster.namespaced::<Metadata<Deployment>>(enclave);
    let found = deployments.list(&Selector::labels(keys::MANAGED_SELECTOR)).await?;
    Ok(found.iter().filter(|deployment| is_tentacle(&deployment.metadata)).count())
}

/// Whether a Deployment is a tentacle: the server manages it, and its name is one that a tentacle may have.
fn is_tentacle(deployment: &ObjectMeta) -> bool {
    let none = Pairs::new();
    Tentacle::from_metadata(deployment.labels.as_ref().unwrap_or(&none), &none).is_some()
        && deployment.name.as_ref().is_some_and(|name| name.parse::<TentacleName>().is_ok())
}

#[cfg(test)]
mod tests {
    use tentacular_contract::Identity;

    use super::*;

    #[test]
    fn a_caller_is_owner_member_other_or_bearer() {
        let pairs = |list: &[(&str, &str)]| -> Pairs {
            list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let annotations =
            pairs(&[(keys::ENCLAVE, "a"), (keys::ENCLAVE_OWNER, "ann@x.io"), (keys::ENCLAVE_MEMBERS, "bob@x.io")]);
        let labels = pairs(&[(keys::MANAGED_BY, keys::TENTACULAR)]);
        let enclave = Enclave::from_metadata("a", &labels, &annotations, false).unwrap();
        let person = |email: Option<&str>| {
            let email = email.map(|email| email.parse().unwrap());
            Caller::Oidc(Identity { email, ..Identity::default() })
        };
        for (caller, role) in [
            (person(Some("ann@x.io")), CallerRole::Owner),
            (person(Some("bob@x.io")), CallerRole::Member),
            (person(Some("eve@x.io")), CallerRole::Other),
            (person(None), CallerRole::Other),
            (Caller::Bearer, CallerRole::Bearer),
        ] {
            assert_eq!(CallerRole::of(&caller, &enclave), role, "{caller:?}");
        }
    }

    #[test]
    fn a_tentacle_is_managed_and_has_the_name_of_one() {
        let deployment = |name: &str, manager: &str| ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(Pairs::from([(keys::MANAGED_BY.to_owned(), manager.to_owned())])),
            ..ObjectMeta::default()
        };
        assert!(is_tentacle(&deployment("report", keys::TENTACULAR)));
        for other in [deployment("report", "helm"), deployment("1-report", keys::TENTACULAR), ObjectMeta::default()] {
            assert!(!is_tentacle(&other), "{other:?}");
        }
    }
}
