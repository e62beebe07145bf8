//! The rules: how they are named, and which level they are of.

use super::{
    Level, Standard, Version, baseline,
    pod::{Finding, Pod},
    restricted, seccomp,
};

/// A rule of the Pod Security Standards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is what its name says, and the check beside it says the details")]
pub enum Rule {
    AppArmorProfile,
    CapabilitiesBaseline,
    HostNamespaces,
    HostPathVolumes,
    HostPorts,
    HostProbesAndHostLifecycle,
    Privileged,
    ProcMount,
    SeLinuxOptions,
    SeccompProfileBaseline,
    Sysctls,
    WindowsHostProcess,
    AllowPrivilegeEscalation,
    CapabilitiesRestricted,
    ProcMountRestricted,
    RestrictedVolumes,
    RunAsNonRoot,
    RunAsUser,
    SeccompProfileRestricted,
}

impl Rule {
    /// All rules, first those of `baseline`.
    pub const ALL: [Self; 19] = [
        Self::AppArmorProfile,
        Self::CapabilitiesBaseline,
        Self::HostNamespaces,
        Self::HostPathVolumes,
        Self::HostPorts,
        Self::HostProbesAndHostLifecycle,
        Self::Privileged,
        Self::ProcMount,
        Self::SeLinuxOptions,
        Self::SeccompProfileBaseline,
        Self::Sysctls,
        Self::WindowsHostProcess,
        Self::AllowPrivilegeEscalation,
        Self::CapabilitiesRestricted,
        Self::ProcMountRestricted,
        Self::RestrictedVolumes,
        Self::RunAsNonRoot,
        Self::RunAsUser,
        Self::SeccompProfileRestricted,
    ];

    /// The id of the rule in `k8s.io/pod-security-admission`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AppArmorProfile => "appArmorProfile",
            Self::CapabilitiesBaseline => "capabilities_baseline",
            Self::HostNamespaces => "hostNamespaces",
            Self::HostPathVolumes => "hostPathVolumes",
            Self::HostPorts => "hostPorts",
            Self::HostProbesAndHostLifecycle => "hostProbesAndHostLifecycle",
            Self::Privileged => "privileged",
            Self::ProcMount => "procMount",
            Self::SeLinuxOptions => "seLinuxOptions",
            Self::SeccompProfileBaseline => "seccompProfile_baseline",
            Self::Sysctls => "sysctls",
            Self::WindowsHostProcess => "windowsHostProcess",
            Self::AllowPrivilegeEscalation => "allowPrivilegeEscalation",
            Self::CapabilitiesRestricted => "capabilities_restricted",
            Self::ProcMountRestricted => "procMount_restricted",
            Self::RestrictedVolumes => "restrictedVolumes",
            Self::RunAsNonRoot => "runAsNonRoot",
            Self::RunAsUser => "runAsUser",
            Self::SeccompProfileRestricted => "seccompProfile_restricted",
        }
    }

    /// The lowest level that the rule is part of.
    pub const fn level(self) -> Level {
        match self {
            Self::AllowPrivilegeEscalation
            | Self::CapabilitiesRestricted
            | Self::ProcMountRestricted
            | Self::RestrictedVolumes
            | Self::RunAsNonRoot
            | Self::RunAsUser
            | Self::SeccompProfileRestricted => Level::Restricted,
            _ => Level::Baseline,
        }
    }

    /// The first version of the standards that has the rule.
    const fn since(self) -> Version {
        match self {
            Self::AllowPrivilegeEscalation => Version::v1(8),
            Self::SeccompProfileRestricted => seccomp::FIELDS,
            Self::CapabilitiesRestricted => Version::v1(22),
            Self::RunAsUser => Version::v1(23),
            Self::HostProbesAndHostLifecycle => Version::v1(34),
            Self::ProcMountRestricted => Version::v1(35),
            _ => Version::v1(0),
        }
    }

    /// The rule of `restricted` that takes the place of this one of `baseline`.
    const fn stricter(self) -> Option<Self> {
        match self {
            Self::CapabilitiesBaseline => Some(Self::CapabilitiesRestricted),
            Self::HostPathVolumes => Some(Self::RestrictedVolumes),
            Self::ProcMount => Some(Self::ProcMountRestricted),
            Self::SeccompProfileBaseline => Some(Self::SeccompProfileRestricted),
            _ => None,
        }
    }

    /// Whether pods are held to the rule by `standard`.
    pub(super) fn is_part_of(self, standard: Standard) -> bool {
        let has = |rule: Self| rule.level() <= standard.level && rule.since() <= standard.version;
        has(self) && !self.stricter().is_some_and(has)
    }

    /// What the rule holds against `pod`.
    pub(super) fn check(self, pod: &Pod<'_>) -> Vec<Finding> {
        match self {
            Self::AppArmorProfile => baseline::app_armor_profile(pod),
            Self::CapabilitiesBaseline => baseline::capabilities(pod),
            Self::HostNamespaces => baseline::host_namespaces(pod),
            Self::HostPathVolumes => baseline::host_path_volumes(pod),
            Self::HostPorts => baseline::host_ports(pod),
            Self::HostProbesAndHostLifecycle => baseline::host_probes_and_host_lifecycle(pod),
            Self::Privileged => baseline::privileged(pod),
            Self::ProcMount => baseline::proc_mount(pod),
            Self::SeLinuxOptions => baseline::se_linux_options(pod),
            Self::SeccompProfileBaseline => seccomp::baseline(pod),
            Self::Sysctls => baseline::sysctls(pod),
            Self::WindowsHostProcess => baseline::windows_host_process(pod),
            Self::AllowPrivilegeEscalation => restricted::allow_privilege_escalation(pod),
            Self::CapabilitiesRestricted => restricted::capabilities(pod),
            Self::ProcMountRestricted => baseline::unusual_proc_mounts(pod),
            Self::RestrictedVolumes => restricted::volumes(pod),
            Self::RunAsNonRoot => restricted::run_as_non_root(pod),
            Self::RunAsUser => restricted::run_as_user(pod),
            Self::SeccompProfileRestricted => seccomp::restricted(pod),
        }
    }
}
