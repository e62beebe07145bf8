//! The rules of `baseline`.

use k8s_openapi::api::core::v1::{HTTPGetAction, SELinuxOptions, TCPSocketAction};

use super::{
    Version,
    pod::{Finding, Pod, Setting},
};

/// Annotations that set the `AppArmor` profile of a container, as it was done before there was a field for it.
const APP_ARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";
/// The capabilities that container runtimes give by default, without `NET_RAW`.
const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
/// Types that leave a container within its bounds, and the version that allowed them first.
const SE_LINUX_TYPES: [(&str, Version); 5] = [
    ("", Version::v1(0)),
    ("container_t", Version::v1(0)),
    ("container_init_t", Version::v1(0)),
    ("container_kvm_t", Version::v1(0)),
    ("container_engine_t", Version::v1(31)),
];
/// Sysctls whose effect ends with the pod, and the version that allowed them first.
const SYSCTLS: [(&str, Version); 14] = [
    ("kernel.shm_rmid_forced", Version::v1(0)),
    ("net.ipv4.ip_local_port_range", Version::v1(0)),
    ("net.ipv4.ip_unprivileged_port_start", Version::v1(0)),
    ("net.ipv4.ping_group_range", Version::v1(0)),
    ("net.ipv4.tcp_syncookies", Version::v1(0)),
    ("net.ipv4.ip_local_reserved_ports", Version::v1(27)),
    ("net.ipv4.tcp_fin_timeout", Version::v1(29)),
    ("net.ipv4.tcp_keepalive_intvl", Version::v1(29)),
    ("net.ipv4.tcp_keepalive_probes", Version::v1(29)),
    ("net.ipv4.tcp_keepalive_time", Version::v1(29)),
    ("net.ipv4.tcp_rmem", Version::v1(32)),
    ("net.ipv4.tcp_wmem", Version::v1(32)),
    ("net.ipv4.tcp_notsent_lowat", Version::v1(37)),
    ("net.ipv4.tcp_slow_start_after_idle", Version::v1(37)),
];

const LEAVE_OUT: &str = "leave it out";

pub(super) fn app_armor_profile(pod: &Pod<'_>) -> Vec<Finding> {
    let fields = pod
        .everywhere(
            "appArmorProfile.type",
            |of_pod| of_pod.app_armor_profile.as_ref().map(|profile| &profile.type_),
            |of_container| of_container.app_armor_profile.as_ref().map(|profile| &profile.type_),
        )
        .filter(|setting| setting.value.is_some_and(|kind| !is_confined(kind)))
        .map(|setting| setting.finding("leave it out, or set it to RuntimeDefault or Localhost"));
    let allowed = |value: &str| matches!(value, "" | "runtime/default") || value.starts_with("localhost/");
    let annotations = pod
        .annotations()
        .filter(|(_, key, value)| key.starts_with(APP_ARMOR_ANNOTATION) && !allowed(value))
        .map(|(path, _, value)| Finding::new(path, value, "leave it out, or set it to runtime/default"));
    fields.chain(annotations).collect()
}

/// Whether `value` is among `allowed` in that version.
fn is_allowed(allowed: &[(&str, Version)], value: &str, version: Version) -> bool {
    allowed.iter().any(|(known, since)| *known == value && *since <= version)
}

/// Whether a seccomp or `AppArmor` profile of that type confines a container.
pub(super) fn is_confined(kind: &str) -> bool {
    matches!(kind, "RuntimeDefault" | "Localhost")
}

pub(super) fn capabilities(pod: &Pod<'_>) -> Vec<Finding> {
    added_capabilities(pod, &CAPABILITIES, "leave it out; only what container runtimes give by default may be added")
}

/// Capabilities that are added and not `allowed`.
pub(super) fn added_capabilities(pod: &Pod<'_>, allowed: &[&str], fix: &'static str) -> Vec<Finding> {
    let added = |setting: Setting<'_, Vec<String>>| {
        let names = setting.value.into_iter().flatten().enumerate();
        let refused = names.filter(|(_, name)| !allowed.contains(&name.as_str()));
        refused
            .map(|(index, name)| Finding::new(format!("{}[{index}]", setting.field), name, fix))
            .collect::<Vec<_>>()
    };
    pod.of_containers("capabilities.add", |security| security.capabilities.as_ref()?.add.as_ref())
        .flat_map(added)
        .collect()
}

pub(super) fn host_namespaces(pod: &Pod<'_>) -> Vec<Finding> {
    let spec = pod.spec;
    let fields =
        [("hostNetwork", spec.host_network), ("hostPID", spec.host_pid), ("hostIPC", spec.host_ipc)].into_iter();
    fields
        .filter(|(_, value)| *value == Some(true))
        .map(|(field, _)| Finding::new(pod.path(&format!("spec.{field}")), true, LEAVE_OUT))
        .collect()
}

pub(super) fn host_path_volumes(pod: &Pod<'_>) -> Vec<Finding> {
    pod.volumes()
        .filter(|(_, volume)| volume.host_path.is_some())
        .map(|(path, volume)| {
            Finding::new(format!("{path}.hostPath"), &volume.name, "use a volume that is not the node's own")
        })
        .collect()
}

pub(super) fn host_ports(pod: &Pod<'_>) -> Vec<Finding> {
    pod.containers()
        .flat_map(|(path, container)| {
            let ports = container.ports.iter().flatten().enumerate();
            ports.filter_map(move |(index, port)| {
                let value = port.host_port.filter(|port| *port != 0)?;
                Some(Finding::new(
                    format!("{path}.ports[{index}].hostPort"),
                    value,
                    "leave it out; a Service makes ports reachable",
                ))
            })
        })
        .collect()
}

pub(super) fn host_probes_and_host_lifecycle(pod: &Pod<'_>) -> Vec<Finding> {
    pod.containers()
        .flat_map(|(path, container)| {
            let probes = [
                ("livenessProbe", &container.liveness_probe),
                ("readinessProbe", &container.readiness_probe),
                ("startupProbe", &container.startup_probe),
            ];
            let probes = probes.into_iter().filter_map(|(name, probe)| {
                let probe = probe.as_ref()?;
                Some((name, hosts(probe.http_get.as_ref(), probe.tcp_socket.as_ref())))
            });
            let lifecycle = container.lifecycle.as_ref();
            let handlers = [
                ("lifecycle.postStart", lifecycle.and_then(|lifecycle| lifecycle.post_start.as_ref())),
                ("lifecycle.preStop", lifecycle.and_then(|lifecycle| lifecycle.pre_stop.as_ref())),
            ];
            let handlers = handlers.into_iter().filter_map(|(name, handler)| {
                let handler = handler?;
                Some((name, hosts(handler.http_get.as_ref(), handler.tcp_socket.as_ref())))
            });
            probes.chain(handlers).flat_map(move |(name, hosts)| {
                let set = hosts.into_iter().filter_map(|(action, host)| Some((action, host?)));
                set.filter(|(_, host)| !host.is_empty()).map(move |(action, host)| {
                    Finding::new(
                        format!("{path}.{name}.{action}.host"),
                        host,
                        "leave it out; the pod itself is asked then",
                    )
                })
            })
        })
        .collect()
}

/// The hosts that a probe or a handler names, each with its action.
fn hosts<'a>(
    http: Option<&'a HTTPGetAction>,
    tcp: Option<&'a TCPSocketAction>,
) -> [(&'static str, Option<&'a String>); 2] {
    [
        ("httpGet", http.and_then(|action| action.host.as_ref())),
        ("tcpSocket", tcp.and_then(|action| action.host.as_ref())),
    ]
}

pub(super) fn privileged(pod: &Pod<'_>) -> Vec<Finding> {
    pod.of_containers("privileged", |security| security.privileged.as_ref())
        .filter(|setting| setting.value == Some(&true))
        .map(|setting| setting.finding(LEAVE_OUT))
        .collect()
}

pub(super) fn proc_mount(pod: &Pod<'_>) -> Vec<Finding> {
    if pod.is_relaxed_by_user_namespace() {
        return Vec::new();
    }
    unusual_proc_mounts(pod)
}

/// All but the default masks over `/proc`.
pub(super) fn unusual_proc_mounts(pod: &Pod<'_>) -> Vec<Finding> {
    pod.of_containers("procMount", |security| security.proc_mount.as_ref())
        .filter(|setting| setting.value.is_some_and(|value| value != "Default"))
        .map(|setting| setting.finding("leave it out, or set it to Default"))
        .collect()
}

pub(super) fn se_linux_options(pod: &Pod<'_>) -> Vec<Finding> {
    pod.everywhere(
        "seLinuxOptions",
        |of_pod| of_pod.se_linux_options.as_ref(),
        |of_container| of_container.se_linux_options.as_ref(),
    )
    .flat_map(|setting| {
        let refused = setting.value.into_iter().flat_map(|options| refused_se_linux_options(options, pod.version));
        refused.map(move |(field, value, fix)| Finding::new(format!("{}.{field}", setting.field), value, fix))
    })
    .collect()
}

fn refused_se_linux_options(
    options: &SELinuxOptions,
    version: Version,
) -> impl Iterator<Item = (&'static str, &str, &'static str)> {
    let kind = options.type_.as_deref().filter(|kind| !is_allowed(&SE_LINUX_TYPES, kind, version));
    let [user, role] = [&options.user, &options.role].map(|name| name.as_deref().filter(|name| !name.is_empty()));
    [
        ("type", kind, "leave it out, or use container_t, container_init_t or container_kvm_t"),
        ("user", user, LEAVE_OUT),
        ("role", role, LEAVE_OUT),
    ]
    .into_iter()
    .filter_map(|(field, value, fix)| Some((field, value?, fix)))
}

pub(super) fn sysctls(pod: &Pod<'_>) -> Vec<Finding> {
    let Some(sysctls) = pod.spec.security_context.as_ref().and_then(|security| security.sysctls.as_ref()) else {
        return Vec::new();
    };
    let refused = sysctls.iter().enumerate().filter(|(_, sysctl)| !is_allowed(&SYSCTLS, &sysctl.name, pod.version));
    refused
        .map(|(index, sysctl)| {
            let path = pod.path(&format!("spec.securityContext.sysctls[{index}].name"));
            Finding::new(path, &sysctl.name, "leave this sysctl out, as it may reach beyond the pod")
        })
        .collect()
}

pub(super) fn windows_host_process(pod: &Pod<'_>) -> Vec<Finding> {
    pod.everywhere(
        "windowsOptions.hostProcess",
        |of_pod| of_pod.windows_options.as_ref()?.host_process.as_ref(),
        |of_container| of_container.windows_options.as_ref()?.host_process.as_ref(),
    )
    .filter(|setting| setting.value == Some(&true))
    .map(|setting| setting.finding(LEAVE_OUT))
    .collect()
}
