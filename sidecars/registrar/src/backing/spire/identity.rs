//! The `ClusterSPIFFEID` of a tentacle. The chart's policy `tentacular-identities` lets the registrar write no others.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::json;
use tentacular_cluster::{CustomKind, Object, TypeMeta};
use tentacular_contract::keys;

use crate::backing::tenant::Tenant;

/// What SPIRE's controller manager makes registration entries from.
pub(super) const CLUSTER_SPIFFE_ID: CustomKind =
    CustomKind { group: "spire.spiffe.io", version: "v1alpha1", kind: "ClusterSPIFFEID", plural: "clusterspiffeids" };
/// Label of a namespace with its name, which Kubernetes sets.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";
/// Who a pod is: the same as [`Tenant::principal`] in the trust domain `tentacular`.
const TEMPLATE: &str = "spiffe://{{ .TrustDomain }}/ns/{{ .PodMeta.Namespace }}/tentacles/\
                        {{ index .PodMeta.Labels \"tentacular.io/release\" }}";

/// Neither name has a dot, so no other tentacle's is the same.
pub(super) fn name(Tenant { enclave, tentacle }: &Tenant) -> String {
    format!("tentacular.{enclave}.{tentacle}")
}

/// The identity of the tenant, which goes with the namespace that has this uid. It is for the pods of the tenant's release, and only
/// while their namespace is an enclave.
pub(super) fn of(tenant: &Tenant, namespace_uid: &str, class_name: &str) -> Object {
    let Tenant { enclave, tentacle } = tenant;
    let CustomKind { group, version, kind, .. } = CLUSTER_SPIFFE_ID;
    let labels =
        [(keys::MANAGED_BY, keys::TENTACULAR), (keys::EXOSKELETON, "true"), (keys::RELEASE, tentacle.as_str())];
    let metadata = ObjectMeta {
        name: Some(name(tenant)),
        labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
        owner_references: Some(vec![OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Namespace".to_owned(),
            name: enclave.to_string(),
            uid: namespace_uid.to_owned(),
            ..OwnerReference::default()
        }]),
        ..ObjectMeta::default()
    };
    let spec = json!({
        "className": class_name,
        "hint": tentacle,
        "spiffeIDTemplate": TEMPLATE,
        "namespaceSelector": { "matchLabels": { NAMESPACE_NAME: enclave, keys::MANAGED_BY: keys::TENTACULAR } },
        "podSelector": { "matchLabels": { keys::RELEASE: tentacle } },
    });
    let types = TypeMeta { api_version: format!("{group}/{version}"), kind: kind.to_owned() };
    Object { types: Some(types), metadata, data: json!({ "spec": spec }) }
}

/// Whether the server made it.
pub(super) fn is_ours(found: &Object) -> bool {
    let labels = found.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(keys::MANAGED_BY)).is_some_and(|by| by == keys::TENTACULAR)
}

/// Whether it is what is wanted.
pub(super) fn is_same(found: &Object, wanted: &Object) -> bool {
    let said = |object: &Object| (object.metadata.labels.clone(), object.metadata.owner_references.clone());
    found.data.get("spec") == wanted.data.get("spec") && said(found) == said(wanted)
}

/// What is wanted, in place of what was found and of nothing that was written since.
pub(super) fn instead_of(found: &Object, mut wanted: Object) -> Object {
    wanted.metadata.uid.clone_from(&found.metadata.uid);
    wanted.metadata.resource_version.clone_from(&found.metadata.resource_version);
    wanted
}
