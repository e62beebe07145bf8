use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::{
    cases::{Case, cases},
    *,
};

/// The version that the table is about.
const TABLE: Version = Version::v1(34);

fn held(level: Level, version: Version, pod: &Value) -> Vec<Violation> {
    let pod: Pod = serde_json::from_value(pod.clone()).expect("a pod");
    Standard { level, version }.violations("", pod.metadata.annotations.as_ref(), &pod.spec.expect("a spec"))
}

fn judged(level: Level, pod: &Value) -> Vec<Violation> {
    held(level, TABLE, pod)
}

fn rules_and_paths(level: Level, case: &Case) -> Vec<String> {
    let found = judged(level, &case.pod);
    let mut found: Vec<_> = found.iter().map(|found| format!("{}: {}", found.rule.as_str(), found.field)).collect();
    found.sort();
    found
}

fn labels(labels: &[(&str, &str)]) -> Pairs {
    labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn one(pod: &Value) -> String {
    let found = judged(Level::Restricted, pod);
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].to_string()
}

#[test]
fn every_case_of_the_table_is_judged_as_it_says() {
    for case in cases() {
        for level in [Level::Baseline, Level::Restricted] {
            let expected = case.expected(level.as_str());
            assert_eq!(rules_and_paths(level, &case), expected, "{} at {}", case.title(), level.as_str());
        }
        assert_eq!(judged(Level::Privileged, &case.pod), [], "{}", case.title());
    }
}

#[test]
fn every_rule_is_in_the_table_with_pods_that_an_api_server_takes() {
    let mut all = cases();
    all.retain(|case| !case.invalid);
    // A rule that came after the table's version.
    for rule in Rule::ALL.into_iter().filter(|rule| *rule != Rule::ProcMountRestricted) {
        let id = format!("{}: ", rule.as_str());
        let found = ["baseline", "restricted"].map(|level| {
            all.iter().filter(|case| case.expected(level).iter().any(|text| text.starts_with(&id))).count()
        });
        assert!(found[0] + found[1] >= 3, "{id}{found:?}");
    }
}

#[test]
fn a_violation_says_where_what_why_and_what_to_do() {
    let container = json!({ "name": "c", "securityContext": {
        "privileged": true, "allowPrivilegeEscalation": false, "runAsNonRoot": true, "capabilities": { "drop": ["ALL"] },
        "seccompProfile": { "type": "RuntimeDefault" },
    } });
    let mut pod = json!({ "spec": { "containers": [container] } });
    assert_eq!(
        one(&pod),
        "spec.containers[0].securityContext.privileged: true is forbidden by Pod Security baseline:v1.34; leave it out \
         (rule privileged)"
    );
    pod["spec"]["containers"][0]["securityContext"]["privileged"] = json!(null);
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(null);
    assert_eq!(
        one(&pod),
        "spec.containers[0].securityContext.allowPrivilegeEscalation: it is not set, but has to be by Pod Security \
         restricted:v1.34; set it to false (rule allowPrivilegeEscalation)"
    );
}

#[test]
fn a_path_begins_with_what_the_caller_gives() {
    let annotations = [("container.apparmor.security.beta.kubernetes.io/c".to_owned(), "unconfined".to_owned())];
    let spec = PodSpec { host_pid: Some(true), ..PodSpec::default() };
    let standard = Standard { level: Level::Baseline, version: Version::NEWEST };
    let found = standard.violations("spec.template.", Some(&annotations.into()), &spec);
    assert_eq!(
        found.iter().map(|found| found.field.as_str()).collect::<Vec<_>>(),
        [
            "spec.template.metadata.annotations[\"container.apparmor.security.beta.kubernetes.io/c\"]",
            "spec.template.spec.hostPID",
        ]
    );
}

#[test]
fn a_volume_without_a_source_is_an_empty_folder() {
    let pod = json!({ "spec": { "containers": [], "volumes": [{ "name": "v" }] } });
    assert_eq!(judged(Level::Restricted, &pod), []);
}

#[test]
fn a_long_value_is_cut() {
    let pod = json!({ "spec": { "containers": [], "securityContext": { "sysctls": [
        { "name": "ä".repeat(1000), "value": "" },
    ] } } });
    let text = one(&pod);
    assert!(text.contains("ä…") && text.chars().count() < 400, "{text}");
}

#[test]
fn a_namespace_enforces_what_its_labels_say() {
    let server = Version::v1(34);
    let enforced = |pairs: &[(&str, &str)]| Standard::enforced(&labels(pairs), server).to_string();
    assert_eq!(enforced(&[]), "privileged:v1.34");
    for level in [Level::Privileged, Level::Baseline, Level::Restricted] {
        assert_eq!(Level::enforced(&labels(&[(ENFORCE, level.as_str())])), level);
    }
    for level in ["Baseline", ""] {
        assert_eq!(enforced(&[(ENFORCE, level)]), "restricted:v1.34", "{level:?}");
    }
    for (version, expected) in [
        ("v1.24", "baseline:v1.24"),
        ("v1.0", "baseline:v1.0"),
        ("latest", "baseline:v1.34"),
        ("v1.34", "baseline:v1.34"),
        ("v1.35", "baseline:v1.34"),
        ("v1.99999999999999999999", "baseline:v1.34"),
        ("1.24", "baseline:v1.34"),
        ("", "baseline:v1.34"),
    ] {
        assert_eq!(enforced(&[(ENFORCE, "baseline"), (ENFORCE_VERSION, version)]), expected, "{version:?}");
    }
    assert_eq!(enforced(&[(ENFORCE_VERSION, "v1.20")]), "privileged:v1.20");
}

/// A pod, and in which versions a rule of `restricted` holds something against it.
type Change = (Rule, Value, fn(u32) -> bool);

/// Every change that a version made, each shown by a pod.
fn changes() -> Vec<Change> {
    let pod = |spec: Value| json!({ "spec": spec });
    let container = |security: Value| pod(json!({ "containers": [{ "name": "c", "securityContext": security }] }));
    let whole = |security: Value| pod(json!({ "containers": [], "securityContext": security }));
    let sysctl = |name: &str| whole(json!({ "sysctls": [{ "name": name, "value": "1" }] }));
    let windows = || pod(json!({ "os": { "name": "windows" }, "containers": [{ "name": "c" }] }));
    let user_namespace = |security: Value| {
        pod(json!({ "hostUsers": false, "containers": [{ "name": "c", "securityContext": security }] }))
    };
    let annotated = |key: &str| {
        let key = format!("{key}seccomp.security.alpha.kubernetes.io/{}", if key.is_empty() { "pod" } else { "c" });
        json!({ "metadata": { "annotations": { key: "unconfined" } }, "spec": { "containers": [{ "name": "c" }] } })
    };
    vec![
        (Rule::AllowPrivilegeEscalation, container(json!({})), |minor| minor >= 8),
        (Rule::AllowPrivilegeEscalation, windows(), |minor| (8..25).contains(&minor)),
        (Rule::SeccompProfileRestricted, container(json!({})), |minor| minor >= 19),
        (Rule::SeccompProfileRestricted, windows(), |minor| (19..25).contains(&minor)),
        (Rule::SeccompProfileBaseline, annotated(""), |minor| minor < 19),
        (Rule::SeccompProfileBaseline, annotated("container."), |minor| minor < 19),
        (Rule::CapabilitiesBaseline, container(json!({ "capabilities": { "add": ["SYS_TIME"] } })), |minor| {
            minor < 22
        }),
        (Rule::CapabilitiesRestricted, container(json!({ "capabilities": { "add": ["CHOWN"] } })), |minor| {
            minor >= 22
        }),
        (Rule::CapabilitiesRestricted, container(json!({})), |minor| minor >= 22),
        (Rule::CapabilitiesRestricted, windows(), |minor| (22..25).contains(&minor)),
        (Rule::RunAsUser, container(json!({ "runAsUser": 0 })), |minor| minor >= 23),
        (Rule::RunAsUser, user_namespace(json!({ "runAsUser": 0 })), |minor| (23..35).contains(&minor)),
        (Rule::RunAsNonRoot, container(json!({})), |_| true),
        (Rule::RunAsNonRoot, windows(), |_| true),
        (Rule::RunAsNonRoot, user_namespace(json!({ "runAsNonRoot": false })), |minor| minor < 35),
        (Rule::ProcMount, user_namespace(json!({ "procMount": "Unmasked" })), |minor| minor < 35),
        (Rule::ProcMountRestricted, user_namespace(json!({ "procMount": "Unmasked" })), |minor| minor >= 35),
        (Rule::Sysctls, sysctl("net.ipv4.tcp_syncookies"), |_| false),
        (Rule::Sysctls, sysctl("net.ipv4.ip_local_reserved_ports"), |minor| minor < 27),
        (Rule::Sysctls, sysctl("net.ipv4.tcp_keepalive_time"), |minor| minor < 29),
        (Rule::Sysctls, sysctl("net.ipv4.tcp_fin_timeout"), |minor| minor < 29),
        (Rule::Sysctls, sysctl("net.ipv4.tcp_keepalive_intvl"), |minor| minor < 29),
        (Rule::Sysctls, sysctl("net.ipv4.tcp_keepalive_probes"), |minor| minor < 29),
        (Rule::Sysctls, sysctl("net.ipv4.tcp_rmem"), |minor| minor < 32),
        (Rule::Sysctls, sysctl("net.ipv4.tcp_wmem"), |minor| minor < 32),
        (Rule::Sysctls, sysctl("net.ipv4.tcp_slow_start_after_idle"), |minor| minor < 37),
        (Rule::Sysctls, sysctl("net.ipv4.tcp_notsent_lowat"), |minor| minor < 37),
        (Rule::SeLinuxOptions, whole(json!({ "seLinuxOptions": { "type": "container_engine_t" } })), |minor| {
            minor < 31
        }),
        (Rule::SeLinuxOptions, whole(json!({ "seLinuxOptions": { "type": "container_t" } })), |_| false),
        (
            Rule::HostProbesAndHostLifecycle,
            pod(
                json!({ "containers": [{ "name": "c", "livenessProbe": { "tcpSocket": { "host": "h", "port": 1 } } }] }),
            ),
            |minor| minor >= 34,
        ),
    ]
}

#[test]
fn each_change_of_the_rules_counts_from_its_version_on() {
    for (rule, pod, forbidden) in changes() {
        for minor in 0..=40 {
            let found = held(Level::Restricted, Version::v1(minor), &pod);
            let against = found.iter().filter(|violation| violation.rule == rule).count();
            assert_eq!(against > 0, forbidden(minor), "{rule:?} at v1.{minor}: {pod}");
        }
    }
}

#[test]
fn baseline_changes_with_the_versions_as_restricted_does_and_keeps_what_that_makes_stricter() {
    for (rule, pod, forbidden) in changes().into_iter().filter(|(rule, ..)| rule.level() == Level::Baseline) {
        for minor in 0..=40 {
            let found = held(Level::Baseline, Version::v1(minor), &pod);
            let against = found.iter().any(|violation| violation.rule == rule);
            let expected = forbidden(minor) || rule == Rule::CapabilitiesBaseline;
            assert_eq!(against, expected, "{rule:?} at v1.{minor}: {pod}");
        }
    }
}

#[test]
fn a_seccomp_annotation_counts_for_a_container_that_is_there_and_as_its_value_says() {
    let judged = |key: &str, value: &str| {
        let pod = json!({
            "metadata": { "annotations": { key: value } },
            "spec": { "containers": [], "initContainers": [{ "name": "c" }] },
        });
        held(Level::Baseline, Version::v1(18), &pod).into_iter().map(|violation| violation.field).collect::<Vec<_>>()
    };
    let container = "container.seccomp.security.alpha.kubernetes.io/c";
    assert_eq!(judged(container, "unconfined"), [format!("metadata.annotations[{container:?}]")]);
    for value in ["runtime/default", "docker/default", "localhost/", "localhost/a"] {
        assert_eq!(judged(container, value), [""; 0], "{value}");
    }
    for value in ["", "Unconfined", "runtime/default ", "localhost"] {
        assert_eq!(judged(container, value).len(), 1, "{value}");
    }
    assert_eq!(judged("container.seccomp.security.alpha.kubernetes.io/other", "unconfined"), [""; 0]);
    assert_eq!(judged("seccomp.security.alpha.kubernetes.io/pod", "unconfined").len(), 1);
    assert_eq!(judged("seccomp.security.alpha.kubernetes.io/other", "unconfined"), [""; 0]);
}

#[test]
fn a_message_names_the_version_that_the_pod_was_held_to() {
    let pod = json!({ "spec": { "containers": [], "hostPID": true } });
    let found = held(Level::Restricted, Version::v1(24), &pod);
    assert!(found[0].to_string().contains("Pod Security baseline:v1.24; leave it out"), "{}", found[0]);
}
