//! What there is in an enclave and how much of its quota that uses, as far as it can be read.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceQuota;
use schemars::JsonSchema;
use serde::Serialize;
use tentacular_cluster::{Cluster, Error};

use super::{objects, view};

/// What is known of an enclave's contents.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) tentacle_count: Option<usize>,
    pub(super) quota: Option<BTreeMap<String, Usage>>,
    /// What could not be read, and why.
    pub(super) warnings: Vec<String>,
}

/// How much of a resource there may be, and is.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Usage {
    /// How much is in use, a Kubernetes quantity such as 500m or 2Gi. Absent until Kubernetes has counted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    used: Option<String>,
    /// How much there may be at most, a Kubernetes quantity.
    hard: String,
}

impl Contents {
    /// Reads what there is in the enclave now.
    pub(super) async fn read(cluster: &Cluster, enclave: &str) -> Self {
        let quotas = cluster.namespaced::<ResourceQuota>(enclave);
        let (tentacles, quota) = tokio::join!(view::tentacles(cluster, enclave), quotas.get(objects::QUOTA));
        Self::of(tentacles, quota)
    }

    fn of(tentacles: Result<usize, Error>, quota: Result<Option<ResourceQuota>, Error>) -> Self {
        let mut contents = Self::default();
        match tentacles {
            Ok(count) => contents.tentacle_count = Some(count),
            Err(error) => contents.warnings.push(format!("the tentacles cannot be counted: {error}")),
        }
        match quota {
            Ok(Some(quota)) => contents.quota = Some(usage(quota)),
            Ok(None) => contents.warnings.push(format!(
                "the enclave has no quota (ResourceQuota {}); enclave_sync with new_quota_preset makes it",
                objects::QUOTA
            )),
            Err(error) => contents.warnings.push(format!("the quota cannot be read: {error}")),
        }
        contents
    }
}

fn usage(quota: ResourceQuota) -> BTreeMap<String, Usage> {
    let hard = quota.spec.and_then(|spec| spec.hard).unwrap_or_default();
    let used = quota.status.and_then(|status| status.used).unwrap_or_default();
    let of = |resource: &str| used.get(resource).map(|quantity| quantity.0.clone());
    hard.into_iter().map(|(resource, hard)| (resource.clone(), Usage { used: of(&resource), hard: hard.0 })).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::*;

    #[test]
    fn every_resource_of_the_quota_is_shown_with_what_is_used_of_it() {
        let quota = json!({
            "spec": { "hard": { "pods": "20", "requests.cpu": "4" } },
            "status": { "hard": { "pods": "10" }, "used": { "pods": "3", "limits.cpu": "1" } },
        });
        let contents = Contents::of(Ok(2), Ok(Some(serde_json::from_value(quota).unwrap())));
        assert_eq!(
            to_value(contents.quota).unwrap(),
            json!({ "pods": { "used": "3", "hard": "20" }, "requests.cpu": { "hard": "4" } })
        );
        assert_eq!((contents.tentacle_count, contents.warnings), (Some(2), vec![]));
    }

    #[test]
    fn what_cannot_be_read_is_left_out_and_told() {
        let refused = || Error::Forbidden { object: "something".to_owned(), message: "no".to_owned() };
        let contents = Contents::of(Err(refused()), Err(refused()));
        assert_eq!((contents.tentacle_count, contents.quota), (None, None));
        assert!(contents.warnings[0].starts_with("the tentacles cannot be counted: "), "{:?}", contents.warnings);
        assert!(contents.warnings[1].starts_with("the quota cannot be read: "), "{:?}", contents.warnings);
        let without = Contents::of(Ok(0), Ok(None));
        assert!(without.quota.is_none() && without.warnings[0].contains("has no quota"), "{:?}", without.warnings);
    }
}
