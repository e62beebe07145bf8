//! The rules on seccomp profiles: until v1.18 those of `baseline` look at annotations, since then at fields.

use super::{
    Version,
    baseline::is_confined,
    pod::{Finding, Pod},
    restricted::everywhere_or_for_all,
};

/// The first version whose pods have fields for it.
pub(super) const FIELDS: Version = Version::v1(19);

const POD_ANNOTATION: &str = "seccomp.security.alpha.kubernetes.io/pod";
/// What stands before the name of a container.
const CONTAINER_ANNOTATION: &str = "container.seccomp.security.alpha.kubernetes.io/";

pub(super) fn baseline(pod: &Pod<'_>) -> Vec<Finding> {
    if pod.version < FIELDS {
        return annotations(pod);
    }
    pod.everywhere(
        "seccompProfile.type",
        |of_pod| of_pod.seccomp_profile.as_ref().map(|profile| &profile.type_),
        |of_container| of_container.seccomp_profile.as_ref().map(|profile| &profile.type_),
    )
    .filter(|setting| setting.value.is_some_and(|kind| !is_confined(kind)))
    .map(|setting| setting.finding("leave it out, or set it to RuntimeDefault or Localhost"))
    .collect()
}

/// Annotations for containers that the pod does not have say nothing.
fn annotations(pod: &Pod<'_>) -> Vec<Finding> {
    let counts = |key: &str| match key.strip_prefix(CONTAINER_ANNOTATION) {
        Some(name) => pod.containers().any(|(_, container)| container.name == name),
        None => key == POD_ANNOTATION,
    };
    let allowed =
        |value: &str| matches!(value, "runtime/default" | "docker/default") || value.starts_with("localhost/");
    pod.annotations()
        .filter(|(_, key, value)| counts(key) && !allowed(value))
        .map(|(path, _, value)| Finding::new(path, value, "leave it out, or set it to runtime/default"))
        .collect()
}

pub(super) fn restricted(pod: &Pod<'_>) -> Vec<Finding> {
    if pod.is_exempt_as_windows() {
        return Vec::new();
    }
    everywhere_or_for_all(
        pod.of_pod("seccompProfile.type", |security| security.seccomp_profile.as_ref().map(|profile| &profile.type_)),
        pod.of_containers("seccompProfile.type", |security| {
            security.seccomp_profile.as_ref().map(|profile| &profile.type_)
        }),
        |kind| is_confined(kind),
        "set it to RuntimeDefault or Localhost, for the pod or for each container",
    )
}
