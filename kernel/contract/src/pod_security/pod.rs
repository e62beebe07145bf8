//! A pod as the rules look at it: every container with its path, whichever of the three lists it is in.

use std::{borrow::Cow, fmt::Debug};

use k8s_openapi::api::core::v1::{
    Container, EphemeralContainer, PodSecurityContext, PodSpec, SecurityContext, Volume,
};

use super::Version;
use crate::facts::Pairs;

/// The first version that looks at `os`.
const WINDOWS: Version = Version::v1(25);
/// The first version that looks at `hostUsers`.
const USER_NAMESPACES: Version = Version::v1(35);
/// Longest value that is shown, in characters.
const SHOWN: usize = 100;

/// What a rule found.
pub(super) struct Finding {
    pub(super) field: String,
    pub(super) value: Option<String>,
    pub(super) fix: &'static str,
}

impl Finding {
    pub(super) fn new(field: String, value: impl Debug, fix: &'static str) -> Self {
        let mut value = format!("{value:?}");
        if let Some((end, _)) = value.char_indices().nth(SHOWN) {
            value.truncate(end);
            value.push('…');
        }
        Self { field, value: Some(value), fix }
    }
}

/// A pod, or a pod template.
pub(super) struct Pod<'a> {
    /// The version of the standards that it is held to.
    pub(super) version: Version,
    prefix: &'a str,
    annotations: Option<&'a Pairs>,
    pub(super) spec: &'a PodSpec,
    /// Every container with its path.
    containers: Vec<(String, Cow<'a, Container>)>,
}

/// What a security context says about one thing, and where.
pub(super) struct Setting<'a, T> {
    pub(super) field: String,
    pub(super) value: Option<&'a T>,
}

impl<T: Debug> Setting<'_, T> {
    /// The finding that it is as it is.
    pub(super) fn finding(self, fix: &'static str) -> Finding {
        match self.value {
            Some(value) => Finding::new(self.field, value, fix),
            None => Finding { field: self.field, value: None, fix },
        }
    }
}

impl<'a> Pod<'a> {
    pub(super) fn new(version: Version, prefix: &'a str, annotations: Option<&'a Pairs>, spec: &'a PodSpec) -> Self {
        let init = spec.init_containers.iter().flatten().map(Cow::Borrowed);
        let main = spec.containers.iter().map(Cow::Borrowed);
        let ephemeral = spec.ephemeral_containers.iter().flatten().map(|container| Cow::Owned(ordinary(container)));
        let path = |list: &str, index: usize| format!("{prefix}spec.{list}[{index}]");
        let containers = (init.enumerate().map(|(index, container)| (path("initContainers", index), container)))
            .chain(main.enumerate().map(|(index, container)| (path("containers", index), container)))
            .chain(ephemeral.enumerate().map(|(index, container)| (path("ephemeralContainers", index), container)))
            .collect();
        Self { version, prefix, annotations, spec, containers }
    }

    /// A path in the pod, such as `spec.hostPID`.
    pub(super) fn path(&self, field: &str) -> String {
        format!("{}{field}", self.prefix)
    }

    /// Whether it is spared rules that mean something on Linux alone, as it says that it is for nodes with Windows.
    pub(super) fn is_exempt_as_windows(&self) -> bool {
        self.version >= WINDOWS && self.spec.os.as_ref().is_some_and(|os| os.name == "windows")
    }

    /// Whether it may be root, as that is somebody else to the node.
    pub(super) fn is_relaxed_by_user_namespace(&self) -> bool {
        self.version >= USER_NAMESPACES && self.spec.host_users == Some(false)
    }

    /// Every container with its path.
    pub(super) fn containers(&self) -> impl Iterator<Item = (&str, &Container)> {
        self.containers.iter().map(|(path, container)| (path.as_str(), &**container))
    }

    /// Every annotation with its path.
    pub(super) fn annotations(&self) -> impl Iterator<Item = (String, &str, &str)> {
        let path = |key: &str| self.path(&format!("metadata.annotations[{key:?}]"));
        self.annotations.into_iter().flatten().map(move |(key, value)| (path(key), key.as_str(), value.as_str()))
    }

    /// Every volume with its path.
    pub(super) fn volumes(&self) -> impl Iterator<Item = (String, &Volume)> {
        let volumes = self.spec.volumes.iter().flatten().enumerate();
        volumes.map(|(index, volume)| (self.path(&format!("spec.volumes[{index}]")), volume))
    }

    /// What the pod's own security context says at `field`.
    pub(super) fn of_pod<T: 'static>(
        &self,
        field: &str,
        get: impl Fn(&PodSecurityContext) -> Option<&T>,
    ) -> Setting<'_, T> {
        Setting {
            field: self.path(&format!("spec.securityContext.{field}")),
            value: self.spec.security_context.as_ref().and_then(get),
        }
    }

    /// What the security context of each container says at `field`.
    pub(super) fn of_containers<T: 'static>(
        &self,
        field: &str,
        get: impl Fn(&SecurityContext) -> Option<&T>,
    ) -> impl Iterator<Item = Setting<'_, T>> {
        self.containers().map(move |(path, container)| Setting {
            field: format!("{path}.securityContext.{field}"),
            value: container.security_context.as_ref().and_then(&get),
        })
    }

    /// Both.
    pub(super) fn everywhere<T: 'static>(
        &self,
        field: &str,
        of_pod: impl Fn(&PodSecurityContext) -> Option<&T>,
        of_container: impl Fn(&SecurityContext) -> Option<&T>,
    ) -> impl Iterator<Item = Setting<'_, T>> {
        [self.of_pod(field, of_pod)].into_iter().chain(self.of_containers(field, of_container))
    }
}

/// The parts of an ephemeral container that a rule looks at, as those of any container.
fn ordinary(container: &EphemeralContainer) -> Container {
    Container {
        name: container.name.clone(),
        ports: container.ports.clone(),
        liveness_probe: container.liveness_probe.clone(),
        readiness_probe: container.readiness_probe.clone(),
        startup_probe: container.startup_probe.clone(),
        lifecycle: container.lifecycle.clone(),
        security_context: container.security_context.clone(),
        ..Container::default()
    }
}
