//! The kinds of object that a tentacle may consist of. They are fixed, so nothing is discovered at run time.

use std::fmt;

use kube::core::{ApiResource, GroupVersionKind};

/// A kind of object that a tentacle may consist of, all of them with a namespace.
///
/// Their order is that of applying a release: what others refer to comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// v1.
    ConfigMap,
    /// v1.
    Secret,
    /// v1.
    PersistentVolumeClaim,
    /// networking.k8s.io/v1.
    NetworkPolicy,
    /// v1.
    Service,
    /// apps/v1.
    Deployment,
    /// batch/v1.
    Job,
    /// batch/v1.
    CronJob,
    /// networking.k8s.io/v1.
    Ingress,
}

impl Kind {
    /// Every kind, in order.
    pub const ALL: [Self; 9] = [
        Self::ConfigMap,
        Self::Secret,
        Self::PersistentVolumeClaim,
        Self::NetworkPolicy,
        Self::Service,
        Self::Deployment,
        Self::Job,
        Self::CronJob,
        Self::Ingress,
    ];

    /// The kind that `apiVersion` and `kind` of a manifest name, or `None` when a tentacle may not have it.
    pub fn of(api_version: &str, kind: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == kind && known.api_version() == api_version)
    }

    /// How a manifest names it, such as `CronJob`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
            Self::PersistentVolumeClaim => "PersistentVolumeClaim",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::Service => "Service",
            Self::Deployment => "Deployment",
            Self::Job => "Job",
            Self::CronJob => "CronJob",
            Self::Ingress => "Ingress",
        }
    }

    /// Its API group, empty for the core group.
    pub const fn group(self) -> &'static str {
        match self {
            Self::ConfigMap | Self::Secret | Self::PersistentVolumeClaim | Self::Service => "",
            Self::NetworkPolicy | Self::Ingress => "networking.k8s.io",
            Self::Deployment => "apps",
            Self::Job | Self::CronJob => "batch",
        }
    }

    /// Its API version, without the group.
    pub const fn version(self) -> &'static str {
        "v1"
    }

    /// Its API group and version as a manifest writes them, such as `batch/v1`.
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::ConfigMap | Self::Secret | Self::PersistentVolumeClaim | Self::Service => "v1",
            Self::NetworkPolicy | Self::Ingress => "networking.k8s.io/v1",
            Self::Deployment => "apps/v1",
            Self::Job | Self::CronJob => "batch/v1",
        }
    }

    /// How URLs and RBAC rules name it, such as `cronjobs`.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::ConfigMap => "configmaps",
            Self::Secret => "secrets",
            Self::PersistentVolumeClaim => "persistentvolumeclaims",
            Self::NetworkPolicy => "networkpolicies",
            Self::Service => "services",
            Self::Deployment => "deployments",
            Self::Job => "jobs",
            Self::CronJob => "cronjobs",
            Self::Ingress => "ingresses",
        }
    }

    pub(crate) const fn custom(self) -> CustomKind {
        CustomKind { group: self.group(), version: self.version(), kind: self.as_str(), plural: self.plural() }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A kind of object that some extension of the cluster defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CustomKind {
    /// API group.
    pub group: &'static str,
    /// API version, without the group.
    pub version: &'static str,
    /// How a manifest names it.
    pub kind: &'static str,
    /// How URLs and RBAC rules name it.
    pub plural: &'static str,
}

impl CustomKind {
    pub(crate) fn resource(&self) -> ApiResource {
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(self.group, self.version, self.kind), self.plural)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::{apps::v1 as apps, batch::v1 as batch, core::v1 as core, networking::v1 as networking};

    use super::*;

    #[test]
    fn the_table_agrees_with_the_types_of_k8s_openapi() {
        let typed = [
            ApiResource::erase::<core::ConfigMap>(&()),
            ApiResource::erase::<core::Secret>(&()),
            ApiResource::erase::<core::PersistentVolumeClaim>(&()),
            ApiResource::erase::<networking::NetworkPolicy>(&()),
            ApiResource::erase::<core::Service>(&()),
            ApiResource::erase::<apps::Deployment>(&()),
            ApiResource::erase::<batch::Job>(&()),
            ApiResource::erase::<batch::CronJob>(&()),
            ApiResource::erase::<networking::Ingress>(&()),
        ];
        assert_eq!(Kind::ALL.map(|kind| kind.custom().resource()), typed);
        assert!(Kind::ALL.is_sorted());
        for kind in Kind::ALL {
            assert_eq!(kind.custom().resource().api_version, kind.api_version());
        }
    }

    #[test]
    fn a_manifest_names_a_kind_by_group_version_and_kind() {
        for kind in Kind::ALL {
            assert_eq!(Kind::of(kind.api_version(), kind.as_str()), Some(kind));
        }
        for (api_version, kind) in [("v1", "Deployment"), ("apps/v1beta1", "Deployment"), ("v1", "Pod"), ("", "")] {
            assert_eq!(Kind::of(api_version, kind), None);
        }
    }
}
