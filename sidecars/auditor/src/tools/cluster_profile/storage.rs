//! Storage and runtime classes in a profile.

use k8s_openapi::api::{node::v1::RuntimeClass as LiveRuntime, storage::v1::StorageClass as LiveStorage};
use schemars::JsonSchema;
use serde::Serialize;

use crate::text;

/// Parts of the names of provisioners whose volumes several pods can write.
const SHARED: [&str; 7] = ["efs", "nfs", "azurefile", "azure-file", "cephfs", "glusterfs", "filestore"];
/// The annotation of the storage class that is taken where none is named.
const DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";

/// A storage class.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StorageClass {
    /// Its name.
    name: String,
    /// What makes its volumes.
    provisioner: String,
    /// What becomes of a volume that nobody claims any more.
    reclaim_policy: String,
    /// Whether it is taken where none is named.
    pub(super) is_default: bool,
    /// Whether volumes can grow.
    allow_volume_expansion: bool,
    /// Whether several pods can write one of its volumes, as far as the provisioner's name shows it.
    pub(super) rwx_capable: bool,
}

/// A runtime class.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct RuntimeClass {
    /// Its name.
    name: String,
    /// What runs its pods.
    handler: String,
}

impl StorageClass {
    pub(super) fn of(class: &LiveStorage) -> Self {
        let annotations = class.metadata.annotations.as_ref();
        Self {
            name: text::line(class.metadata.name.as_deref().unwrap_or_default()),
            provisioner: text::line(&class.provisioner),
            reclaim_policy: text::line(class.reclaim_policy.as_deref().unwrap_or("Delete")),
            is_default: annotations.and_then(|pairs| pairs.get(DEFAULT)).is_some_and(|value| value == "true"),
            allow_volume_expansion: class.allow_volume_expansion.unwrap_or(false),
            rwx_capable: SHARED.iter().any(|part| class.provisioner.contains(part)),
        }
    }
}

impl RuntimeClass {
    pub(super) fn of(class: &LiveRuntime) -> Self {
        let name = class.metadata.name.as_deref().unwrap_or_default();
        Self { name: text::line(name), handler: text::line(&class.handler) }
    }

    /// Whether its pods are isolated by gVisor.
    pub(super) fn is_gvisor(&self) -> bool {
        self.name == "gvisor" || self.handler.contains("runsc") || self.handler == "gvisor"
    }
}
