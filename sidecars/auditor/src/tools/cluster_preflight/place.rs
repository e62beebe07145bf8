//! The namespace that a preflight names, and the checks on it.

use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use tentacular_cluster::{Cluster, Metadata, enclave_of};
use tentacular_contract::{Enclave, EnclaveName, Platform, Status, facts::Pairs, pod_security::Level};

use super::check::Check;

const EXISTS: &str = "namespace-exists";
const POD_SECURITY: &str = "pod-security";

/// What is at the place that was named.
#[derive(Debug)]
pub(super) enum Place {
    /// None was.
    Unnamed,
    Protected(EnclaveName),
    Missing(EnclaveName),
    /// A namespace of somebody else. Nothing of it is told.
    Foreign(EnclaveName),
    Enclave(Enclave, Pairs),
    /// Why nothing is known.
    Unreadable(String),
}

impl Place {
    /// What is there now.
    pub(super) async fn read(cluster: &Cluster, platform: &Platform, named: Option<&EnclaveName>) -> Self {
        let Some(name) = named else { return Self::Unnamed };
        if platform.is_protected(name.as_str()) {
            return Self::Protected(name.clone());
        }
        match cluster.all::<Metadata<Namespace>>().get(name.as_str()).await {
            Ok(None) => Self::Missing(name.clone()),
            Ok(Some(namespace)) => Self::of(name, namespace.metadata, platform),
            Err(error) => Self::Unreadable(error.to_string()),
        }
    }

    fn of(name: &EnclaveName, metadata: ObjectMeta, platform: &Platform) -> Self {
        match enclave_of(&metadata, platform) {
            Some(enclave) => Self::Enclave(enclave, metadata.labels.unwrap_or_default()),
            None => Self::Foreign(name.clone()),
        }
    }

    /// The enclave, where it is one that stays.
    pub(super) fn enclave(&self) -> Option<&EnclaveName> {
        match self {
            Self::Enclave(enclave, _) if !enclave.terminating => Some(&enclave.name),
            _ => None,
        }
    }

    /// Whether the enclave is ready.
    pub(super) fn exists(&self) -> Check {
        match self {
            Self::Unnamed => Check::warned(EXISTS, "no enclave is named, so none is checked"),
            Self::Protected(name) => Check::warned(
                EXISTS,
                format!("namespace {name} is protected and never an enclave; name one to check it"),
            ),
            Self::Missing(name) => {
                Check::warned(EXISTS, format!("there is no enclave {name} yet; enclave_provision makes it"))
            }
            Self::Foreign(name) => {
                Check::warned(EXISTS, format!("namespace {name} is not an enclave; choose another name for one"))
            }
            Self::Unreadable(why) => {
                Check::failed(EXISTS, format!("the namespace cannot be read: {why}"), "kubectl get --raw /readyz")
            }
            Self::Enclave(enclave, _) => ready(enclave),
        }
    }

    /// Whether Pod Security is enforced on it.
    pub(super) fn pod_security(&self) -> Check {
        let Self::Enclave(Enclave { name, .. }, labels) = self else {
            return Check::warned(POD_SECURITY, "no enclave is named, so no level is checked");
        };
        match Level::enforced(labels) {
            Level::Privileged => Check::failed(
                POD_SECURITY,
                format!("enclave {name} enforces no Pod Security level: its pods may take over their node"),
                format!("kubectl label namespace {name} pod-security.kubernetes.io/enforce=restricted --overwrite"),
            ),
            level => Check::passed(POD_SECURITY, format!("enclave {name} enforces {}", level.as_str())),
        }
    }
}

fn ready(enclave: &Enclave) -> Check {
    let Enclave { name, status, owner, terminating, .. } = enclave;
    if *terminating {
        return Check::failed(
            EXISTS,
            format!("enclave {name} is being deleted"),
            format!("kubectl wait --for=delete namespace/{name} --timeout=5m"),
        );
    }
    match status {
        Status::Frozen => {
            Check::warned(EXISTS, format!("enclave {name} is frozen: apply, run and restart are refused"))
        }
        Status::Provisioning => {
            Check::warned(EXISTS, format!("enclave {name} is still being made; repeat enclave_provision to go on"))
        }
        Status::Active if owner.is_none() => {
            Check::warned(EXISTS, format!("enclave {name} has no owner, so only the bearer token may use it"))
        }
        Status::Active => Check::passed(EXISTS, format!("enclave {name} is active")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tentacular_contract::keys;

    use super::*;

    fn place(labels: &[(&str, &str)], annotations: &[(&str, &str)], terminating: bool) -> Place {
        let pairs =
            |list: &[(&str, &str)]| list.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        let labels: Pairs = pairs(labels);
        let deleted = terminating.then_some("2026-01-01T00:00:00Z");
        let metadata = json!({ "name": "team-a", "labels": labels, "annotations": pairs(annotations) as Pairs,
            "deletionTimestamp": deleted });
        let metadata = serde_json::from_value(metadata).expect("metadata");
        Place::of(&"team-a".parse().expect("a name"), metadata, &Platform::default())
    }

    #[test]
    fn an_enclave_is_judged_by_its_state() {
        let label = &[(keys::MANAGED_BY, keys::TENTACULAR)];
        let enclave = (keys::ENCLAVE, "team-a");
        let owner = (keys::ENCLAVE_OWNER, "ann@example.com");
        for (annotations, terminating, passed, part) in [
            (vec![enclave, owner], false, true, "is active"),
            (vec![enclave], false, true, "has no owner"),
            (vec![enclave, owner, (keys::ENCLAVE_STATUS, "frozen")], false, true, "is frozen"),
            (vec![enclave, owner, (keys::ENCLAVE_STATUS, "provisioning")], false, true, "still being made"),
            (vec![enclave, owner], true, false, "being deleted"),
            (vec![owner], false, true, "is not an enclave"),
        ] {
            let check = place(label, &annotations, terminating).exists();
            let text = check.warning.or(check.detail).unwrap_or_default();
            assert!(check.passed == passed && text.contains(part), "{text}");
            assert_eq!(check.remediation.is_some(), !passed);
        }
    }

    #[test]
    fn a_level_must_be_enforced() {
        let managed = (keys::MANAGED_BY, keys::TENTACULAR);
        let enforce = "pod-security.kubernetes.io/enforce";
        for (labels, passed) in [
            (vec![managed, (enforce, "restricted")], true),
            (vec![managed, (enforce, "baseline")], true),
            (vec![managed, (enforce, "privileged")], false),
            (vec![managed], false),
        ] {
            let check = place(&labels, &[(keys::ENCLAVE, "team-a")], false).pod_security();
            assert_eq!((check.passed, check.remediation.is_some()), (passed, !passed), "{labels:?}");
        }
        assert!(Place::Unnamed.pod_security().passed);
    }
}
