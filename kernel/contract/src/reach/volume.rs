//! Every name that a volume or a claim can hold.

use k8s_openapi::api::core::v1::{
    LocalObjectReference, PersistentVolumeClaimSpec, ProjectedVolumeSource, StorageOSVolumeSource, Volume,
    VolumeProjection,
};

use super::{Scope, reference::Reference};

const CLAIM: &str = "PersistentVolumeClaim";

/// What the volume at the path `at` names. Every field stands here, so that one which Kubernetes adds does not compile
/// before somebody looked at it.
pub(super) fn of_volume(scope: &Scope<'_>, volume: &Volume, at: &str) -> Vec<Reference> {
    let Volume {
        azure_file,
        cephfs,
        cinder,
        config_map,
        csi,
        ephemeral,
        flex_volume,
        glusterfs,
        iscsi,
        persistent_volume_claim,
        projected,
        rbd,
        scale_io,
        secret,
        storageos,
        // These name nothing of the enclave; most of them Pod Security refuses.
        name: _,
        aws_elastic_block_store: _,
        azure_disk: _,
        downward_api: _,
        empty_dir: _,
        fc: _,
        flocker: _,
        gce_persistent_disk: _,
        git_repo: _,
        host_path: _,
        image: _,
        nfs: _,
        photon_persistent_disk: _,
        portworx_volume: _,
        quobyte: _,
        vsphere_volume: _,
    } = volume;
    let reference = |kind: &str, name: &str, field: &str| Reference::new(kind, name, format!("{at}.{field}"));
    let credentials = [
        cephfs.as_ref().and_then(|cephfs| secret_ref("cephfs.secretRef", cephfs.secret_ref.as_ref())),
        cinder.as_ref().and_then(|cinder| secret_ref("cinder.secretRef", cinder.secret_ref.as_ref())),
        csi.as_ref().and_then(|csi| secret_ref("csi.nodePublishSecretRef", csi.node_publish_secret_ref.as_ref())),
        flex_volume.as_ref().and_then(|flex| secret_ref("flexVolume.secretRef", flex.secret_ref.as_ref())),
        iscsi.as_ref().and_then(|iscsi| secret_ref("iscsi.secretRef", iscsi.secret_ref.as_ref())),
        rbd.as_ref().and_then(|rbd| secret_ref("rbd.secretRef", rbd.secret_ref.as_ref())),
        scale_io.as_ref().and_then(|scale_io| secret_ref("scaleIO.secretRef", Some(&scale_io.secret_ref))),
        storageos.as_ref().and_then(|storageos| secret_ref("storageos.secretRef", storageos.secret_ref.as_ref())),
        azure_file.as_ref().map(|azure_file| ("azureFile.secretName", azure_file.secret_name.as_str())),
        secret.as_ref().map(|secret| ("secret.secretName", secret.secret_name.as_deref().unwrap_or_default())),
    ];
    let mut found: Vec<_> =
        credentials.into_iter().flatten().map(|(field, name)| reference("Secret", name, field)).collect();
    found.extend(config_map.iter().map(|map| reference("ConfigMap", &map.name, "configMap.name")));
    if let Some(claim) = persistent_volume_claim {
        found.push(reference(CLAIM, &claim.claim_name, "persistentVolumeClaim.claimName"));
    }
    found.extend(glusterfs.iter().map(|source| reference("Endpoints", &source.endpoints, "glusterfs.endpoints")));
    found.extend(storageos.iter().filter_map(|source| other_namespace(scope, source, at)));
    found.extend(projected.iter().flat_map(|projected| of_projection(projected, at)));
    for claim in ephemeral.iter().filter_map(|ephemeral| ephemeral.volume_claim_template.as_ref()) {
        found.extend(of_claim(scope, &claim.spec, &format!("{at}.ephemeral.volumeClaimTemplate.spec")));
    }
    found
}

fn secret_ref<'a>(field: &'static str, named: Option<&'a LocalObjectReference>) -> Option<(&'static str, &'a str)> {
    named.map(|named| (field, named.name.as_str()))
}

fn other_namespace(scope: &Scope<'_>, source: &StorageOSVolumeSource, at: &str) -> Option<Reference> {
    let namespace = source.volume_namespace.as_deref()?;
    (namespace != scope.enclave.as_str())
        .then(|| Reference::new("Namespace", namespace, format!("{at}.storageos.volumeNamespace")))
}

fn of_projection(projected: &ProjectedVolumeSource, at: &str) -> Vec<Reference> {
    let mut found = Vec::new();
    for (index, source) in projected.sources.iter().flatten().enumerate() {
        let VolumeProjection {
            config_map,
            secret,
            // Public certificates, the pod's own fields, and a token of the pod's account, which has no rights.
            cluster_trust_bundle: _,
            downward_api: _,
            service_account_token: _,
        } = source;
        let field = |member: &str| format!("{at}.projected.sources[{index}].{member}.name");
        found.extend(config_map.iter().map(|map| Reference::new("ConfigMap", &map.name, field("configMap"))));
        found.extend(secret.iter().map(|secret| Reference::new("Secret", &secret.name, field("secret"))));
    }
    found
}

/// What the claim with its spec at the path `at` names: what it is filled from, and a certain volume.
pub(super) fn of_claim(scope: &Scope<'_>, spec: &PersistentVolumeClaimSpec, at: &str) -> Vec<Reference> {
    let PersistentVolumeClaimSpec {
        data_source,
        data_source_ref,
        volume_name,
        access_modes: _,
        resources: _,
        // Selects volumes that nobody has claimed.
        selector: _,
        storage_class_name: _,
        volume_attributes_class_name: _,
        volume_mode: _,
    } = spec;
    let mut found = Vec::new();
    found.extend(data_source.iter().map(|source| {
        Reference::new(
            &kind(source.api_group.as_deref(), &source.kind),
            &source.name,
            format!("{at}.dataSource.name"),
        )
    }));
    found.extend(data_source_ref.iter().map(|source| {
        let kind = kind(source.api_group.as_deref(), &source.kind);
        let elsewhere =
            source.namespace.as_deref().filter(|name| !name.is_empty() && *name != scope.enclave.as_str());
        let kind = elsewhere.map_or_else(|| kind.clone(), |namespace| format!("{kind} of namespace {namespace}"));
        Reference::new(&kind, &source.name, format!("{at}.dataSourceRef.name"))
    }));
    let volume = volume_name.iter().filter(|name| !name.is_empty());
    found.extend(volume.map(|name| Reference::new("PersistentVolume", name, format!("{at}.volumeName"))));
    found
}

/// A claim, or a kind that no tentacle has, whatever its group calls it.
fn kind(group: Option<&str>, kind: &str) -> String {
    match group.unwrap_or_default() {
        "" if kind == CLAIM => kind.to_owned(),
        group => format!("{kind} of API group {group:?}"),
    }
}
