//! The rules: how they are named, and which level they are of.

use super::{
    Level, baseline,
    pod::{Finding, Pod},
    restricted,
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
    RestrictedVolumes,
    RunAsNonRoot,
    RunAsUser,
    SeccompProfileRestricted,
}

impl Rule {
    /// All rules, first those of `baseline`.
    pub const ALL: [Self; 18] = [
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
            | Self::RestrictedVolumes
            | Self::RunAsNonRoot
            | Self::RunAsUser
            | Self::SeccompProfileRestricted => Level::Restricted,
            _ => Level::Baseline,
        }
    }

    /// Whether the rule counts at `level`. `restricted` has stricter rules in place of three of `baseline`.
    pub(super) fn is_part_of(self, level: Level) -> bool {
        let replaced =
            matches!(self, Self::CapabilitiesBaseline | Self::HostPathVolumes | Self::SeccompProfileBaseline);
        self.level() <= level && !(replaced && level == Level::Restricted)
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
            Self::SeccompProfileBaseline => baseline::seccomp_profile(pod),
            Self::Sysctls => baseline::sysctls(pod),
            Self::WindowsHostProcess => baseline::windows_host_process(pod),
            Self::AllowPrivilegeEscalation => restricted::allow_privilege_escalation(pod),
            Self::CapabilitiesRestricted => restricted::capabilities(pod),
            Self::RestrictedVolumes => restricted::volumes(pod),
            Self::RunAsNonRoot => restricted::run_as_non_root(pod),
            Self::RunAsUser => restricted::run_as_user(pod),
            Self::SeccompProfileRestricted => restricted::seccomp_profile(pod),
        }
    }
}
