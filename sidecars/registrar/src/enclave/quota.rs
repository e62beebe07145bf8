//! How much an enclave may use.

use std::{
    fmt,
    str::FromStr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use k8s_openapi::api::core::v1::{Namespace, ResourceQuota};
use tentacular_cluster::{Cluster, Conflicts, Error, Metadata, retry_on_conflict_or_outage};
use tentacular_contract::keys;

use super::{bindings::once_bound, objects, view::annotation};

/// The size of an enclave. Stands for a set of numbers, so that teams choose among three and not among numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum QuotaPreset {
    Small,
    #[default]
    Medium,
    Large,
}

/// The numbers behind a preset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Amounts {
    /// Cores that all pods together may request.
    pub(crate) cores: u32,
    /// Memory that all pods together may request, in GiB.
    pub(crate) memory: u32,
    pub(crate) pods: u32,
    /// Volumes that all claims together may request, in GiB.
    pub(crate) storage: u32,
}

impl QuotaPreset {
    const ALL: [Self; 3] = [Self::Small, Self::Medium, Self::Large];

    /// How the argument and the annotation spell it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Large => "large",
        }
    }

    pub(crate) const fn amounts(self) -> Amounts {
        match self {
            Self::Small => Amounts { cores: 4, memory: 4, pods: 20, storage: 10 },
            Self::Medium => Amounts { cores: 16, memory: 16, pods: 50, storage: 50 },
            Self::Large => Amounts { cores: 32, memory: 64, pods: 100, storage: 100 },
        }
    }
}

impl fmt::Display for QuotaPreset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no preset.
#[derive(Debug, thiserror::Error)]
#[error("invalid quota_preset {0:?}; valid values: small, medium, large")]
pub(crate) struct InvalidPreset(String);

impl FromStr for QuotaPreset {
    type Err = InvalidPreset;

    fn from_str(text: &str) -> Result<Self, InvalidPreset> {
        let found = Self::ALL.into_iter().find(|preset| preset.as_str() == text);
        found.ok_or_else(|| InvalidPreset(text.chars().take(64).collect()))
    }
}

/// Makes the enclave's quota that of the preset which its namespace names, and returns whether it was another. Tries for
/// `limit` while others write it too, or the API server is out of reach.
///
/// Of several that do so at the same time each looks at the namespace again after it wrote, so the preset that was set
/// last is in force when all have returned.
pub(super) async fn enforce(cluster: &Cluster, enclave: &str, limit: Duration) -> Result<bool, Error> {
    let (sent, written) = (AtomicBool::new(false), Mutex::new(None));
    let last = || written.lock().unwrap_or_else(PoisonError::into_inner);
    let attempt = || async {
        loop {
            let before = *last();
            let Some(step) = Step::towards(cluster, enclave, before).await? else { return Ok(()) };
            // Also where the answer is lost, and the next look finds it done.
            sent.store(true, Ordering::Relaxed);
            let preset = step.preset;
            step.take(cluster, enclave).await?;
            *last() = Some(preset);
        }
    };
    retry_on_conflict_or_outage(limit, attempt).await?;
    Ok(sent.into_inner())
}

/// A write that is missing.
struct Step {
    preset: QuotaPreset,
    /// What it replaces.
    found: Option<ResourceQuota>,
}

impl Step {
    /// What is missing; nothing where the quota is as it should be or `written` is what it should be: what became of that
    /// since then is somebody else's doing, who looks again too.
    async fn towards(cluster: &Cluster, enclave: &str, written: Option<QuotaPreset>) -> Result<Option<Self>, Error> {
        // In this order: whoever sets another preset after it is read here writes the quota after it was read here, so
        // that this write fails, or looks at the quota after this write.
        let quotas = cluster.namespaced::<ResourceQuota>(enclave);
        let found = once_bound(|| quotas.get(objects::QUOTA)).await?;
        let namespace = cluster.all::<Metadata<Namespace>>().get(enclave).await?;
        let preset = namespace.and_then(|namespace| annotation(&namespace.metadata, keys::ENCLAVE_QUOTA_PRESET));
        let Some(preset) = preset.and_then(|text| text.trim().parse::<QuotaPreset>().ok()) else { return Ok(None) };
        let there = found.as_ref().is_some_and(|found| holds(found, &objects::resource_quota(preset)));
        Ok((!there && written != Some(preset)).then_some(Self { preset, found }))
    }

    async fn take(self, cluster: &Cluster, enclave: &str) -> Result<(), Error> {
        let quotas = cluster.namespaced::<ResourceQuota>(enclave);
        let mut wanted = objects::resource_quota(self.preset);
        let Some(found) = self.found else {
            return match quotas.create(&wanted).await {
                Err(Error::AlreadyExists { object }) => {
                    Err(Error::Conflict { object, message: "it was made meanwhile".to_owned() })
                }
                made => made.map(drop),
            };
        };
        wanted.metadata.uid = found.metadata.uid;
        wanted.metadata.resource_version = found.metadata.resource_version;
        quotas.apply(&wanted, Conflicts::TakeOver).await.map(drop)
    }
}

/// Whether `quota` has every amount of `wanted`; an administrator may have added others.
fn holds(quota: &ResourceQuota, wanted: &ResourceQuota) -> bool {
    let amounts = |quota: &ResourceQuota| quota.spec.as_ref().and_then(|spec| spec.hard.clone()).unwrap_or_default();
    let there = amounts(quota);
    amounts(wanted).iter().all(|(key, amount)| there.get(key) == Some(amount))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_read_by_their_names_alone() {
        for preset in QuotaPreset::ALL {
            assert_eq!(preset.to_string().parse::<QuotaPreset>().unwrap(), preset);
        }
        for text in ["", "Small", "huge"] {
            let error = text.parse::<QuotaPreset>().unwrap_err().to_string();
            assert!(error.ends_with("valid values: small, medium, large"), "{error}");
        }
    }

    #[test]
    fn a_quota_with_further_amounts_is_still_that_of_its_preset() {
        let small = objects::resource_quota(QuotaPreset::Small);
        let mut more = small.clone();
        let hard = more.spec.as_mut().unwrap().hard.as_mut().unwrap();
        hard.insert(
            "count/secrets".to_owned(),
            k8s_openapi::apimachinery::pkg::api::resource::Quantity("9".to_owned()),
        );
        assert!(holds(&more, &small) && !holds(&small, &more));
        assert!(!holds(&more, &objects::resource_quota(QuotaPreset::Large)));
    }
}
