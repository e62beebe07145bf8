//! The rules that `restricted` adds to `baseline`. Those that need Linux say nothing about pods for Windows since
//! v1.25.

use std::fmt::Debug;

use k8s_openapi::api::core::v1::Volume;

use super::{
    baseline::added_capabilities,
    pod::{Finding, Pod, Setting},
};

/// Types of volumes that show a pod nothing of the node.
const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

pub(super) fn allow_privilege_escalation(pod: &Pod<'_>) -> Vec<Finding> {
    if pod.is_exempt_as_windows() {
        return Vec::new();
    }
    pod.of_containers("allowPrivilegeEscalation", |security| security.allow_privilege_escalation.as_ref())
        .filter(|setting| setting.value != Some(&false))
        .map(|setting| setting.finding("set it to false"))
        .collect()
}

pub(super) fn capabilities(pod: &Pod<'_>) -> Vec<Finding> {
    if pod.is_exempt_as_windows() {
        return Vec::new();
    }
    let drops_all = |names: &Vec<String>| names.iter().any(|name| name == "ALL");
    pod.of_containers("capabilities.drop", |security| security.capabilities.as_ref()?.drop.as_ref())
        .filter(|setting| !setting.value.is_some_and(drops_all))
        .map(|setting| setting.finding("set it to [\"ALL\"]"))
        .chain(added_capabilities(pod, &["NET_BIND_SERVICE"], "leave it out; only NET_BIND_SERVICE may be added"))
        .collect()
}

pub(super) fn volumes(pod: &Pod<'_>) -> Vec<Finding> {
    let refused = pod.volumes().filter_map(|(path, volume)| {
        // One without a source is an emptyDir to the API server.
        let kind = kind(volume).filter(|kind| !VOLUMES.contains(&kind.as_str()))?;
        Some(Finding::new(
            format!("{path}.{kind}"),
            &volume.name,
            "use one of configMap, csi, downwardAPI, emptyDir, ephemeral, image, persistentVolumeClaim, projected \
             and secret",
        ))
    });
    refused.collect()
}

/// The field that says what `volume` is, as Kubernetes spells it.
fn kind(volume: &Volume) -> Option<String> {
    let volume = serde_json::to_value(volume).ok()?;
    volume.as_object()?.keys().find(|field| *field != "name").cloned()
}

pub(super) fn run_as_non_root(pod: &Pod<'_>) -> Vec<Finding> {
    if pod.is_relaxed_by_user_namespace() {
        return Vec::new();
    }
    let fix = "set it to true, for the pod or for each container";
    everywhere_or_for_all(
        pod.of_pod("runAsNonRoot", |security| security.run_as_non_root.as_ref()),
        pod.of_containers("runAsNonRoot", |security| security.run_as_non_root.as_ref()),
        |value| *value,
        fix,
    )
}

pub(super) fn run_as_user(pod: &Pod<'_>) -> Vec<Finding> {
    if pod.is_relaxed_by_user_namespace() {
        return Vec::new();
    }
    pod.everywhere(
        "runAsUser",
        |of_pod| of_pod.run_as_user.as_ref(),
        |of_container| of_container.run_as_user.as_ref(),
    )
    .filter(|setting| setting.value == Some(&0))
    .map(|setting| setting.finding("leave it out, or set it to the number of a user that is not root"))
    .collect()
}

/// A setting that containers without one of their own take from the pod: it must be good wherever it is made, and each
/// container must have it from somewhere. Where the pod's own is bad, that is the thing to mend.
pub(super) fn everywhere_or_for_all<'a, T: Debug + 'static>(
    of_pod: Setting<'a, T>,
    of_containers: impl Iterator<Item = Setting<'a, T>>,
    is_good: impl Fn(&T) -> bool,
    fix: &'static str,
) -> Vec<Finding> {
    let pod_has_it = of_pod.value.is_some();
    let refused_of_pod = of_pod.value.is_some_and(|value| !is_good(value)).then(|| of_pod.finding(fix));
    let refused = of_containers
        .filter(|setting| setting.value.map_or(!pod_has_it, |value| !is_good(value)))
        .map(|setting| setting.finding(fix));
    refused_of_pod.into_iter().chain(refused).collect()
}
