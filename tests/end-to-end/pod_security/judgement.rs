//! What is held against a pod, and whom the API server names for it: the form in which its verdict and ours are compared.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use serde_json::Value;
use tentacular_contract::pod_security::{Level, Rule, Standard, Version, Violation};

const APP_ARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";
/// For what the pod sets for all of its containers.
const POD: &str = "pod";

/// Each rule that was violated, with whom the API server names for it: `pod`, containers, volumes, sysctls, annotations,
/// host namespaces.
pub(super) type Judgement = BTreeMap<Rule, BTreeSet<String>>;

/// What the API server says of `pod`, such as `… violate PodSecurity "restricted:latest": hostPort (container "first" uses
/// hostPort 80), runAsUser=0 (pod must not set runAsUser=0)`. `asked` is the level and the version as the labels have them.
pub(super) fn theirs(message: &str, asked: &str, standard: Standard, pod: &Value) -> anyhow::Result<Judgement> {
    let (_, mut rest) = message.split_once(&format!(" PodSecurity {asked:?}: ")).context(message.to_owned())?;
    let known = names(pod);
    let mut judgement = Judgement::new();
    while !rest.is_empty() {
        let (reason, detail) = rest.split_once(" (").context(message.to_owned())?;
        let (detail, after) = detail.split_at(end_of_detail(detail));
        let rule = rule(reason, standard).with_context(|| format!("{reason:?} is no rule: {message}"))?;
        let about_volumes = matches!(rule, Rule::HostPathVolumes | Rule::RestrictedVolumes);
        let candidates = known.iter().filter(|(path, _)| path.starts_with("spec.volumes") == about_volumes);
        let named = candidates.map(|(_, name)| name).filter(|name| detail.contains(name.as_str()));
        let mut blamed: BTreeSet<_> = named.map(|name| container(name)).collect();
        if detail.starts_with("pod ") && !detail.starts_with("pod or ") {
            blamed.insert(POD.to_owned());
        }
        judgement.insert(rule, blamed);
        rest = after.trim_start_matches([')', ',', ' ']);
    }
    Ok(comparable(judgement))
}

/// Where the parenthesis closes that stands outside of quotes.
fn end_of_detail(detail: &str) -> usize {
    let mut quoted = false;
    let end = detail.find(|c| {
        quoted ^= c == '"';
        c == ')' && !quoted
    });
    end.unwrap_or(detail.len())
}

/// The same for what `violations` say, whose paths begin with `prefix`.
pub(super) fn ours(violations: &[Violation], prefix: &str, pod: &Value) -> Judgement {
    let known = names(pod);
    let mut judgement = Judgement::new();
    for Violation { rule, field, value, .. } in violations {
        let field = field.strip_prefix(prefix).expect("every path begins with the prefix");
        let blamed = judgement.entry(*rule).or_default();
        // The API server tells who has no such setting only where nobody has a bad one.
        let told = |other: &Violation| other.rule == *rule && other.value.is_some();
        if matches!(rule, Rule::RunAsNonRoot | Rule::SeccompProfileRestricted)
            && value.is_none()
            && violations.iter().any(told)
        {
            continue;
        }
        let name = known.iter().find(|(path, _)| field.strip_prefix(*path).is_some_and(begins_a_step));
        let of_pod = field.starts_with("spec.securityContext.").then(|| POD.to_owned());
        blamed.extend(name.map(|(_, name)| container(name)).or(of_pod));
    }
    comparable(judgement)
}

fn begins_a_step(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(['.', '['])
}

/// How the API server names what stands at some paths of a pod.
fn names(pod: &Value) -> BTreeMap<String, String> {
    let items = |at: &str| pod.pointer(at).and_then(Value::as_array).into_iter().flatten().enumerate();
    let named = ["initContainers", "containers", "ephemeralContainers", "volumes"].into_iter().flat_map(|list| {
        items(&format!("/spec/{list}"))
            .map(move |(index, item)| (format!("spec.{list}[{index}]"), item["name"].to_string()))
    });
    let sysctls = items("/spec/securityContext/sysctls").map(|(index, sysctl)| {
        (format!("spec.securityContext.sysctls[{index}]"), sysctl["name"].as_str().unwrap().to_owned())
    });
    let annotations =
        pod.pointer("/metadata/annotations").and_then(Value::as_object).into_iter().flat_map(|all| all.keys());
    let annotations = annotations.map(|key| (format!("metadata.annotations[{key:?}]"), format!("{key}=")));
    let host = ["hostNetwork", "hostPID", "hostIPC"].map(|field| (format!("spec.{field}"), format!("{field}=true")));
    named.chain(sysctls).chain(annotations).chain(host).collect()
}

/// An `AppArmor` annotation and the field of its container say the same, and the API server fills in whichever is missing.
fn container(name: &str) -> String {
    let of = name.strip_prefix(APP_ARMOR_ANNOTATION).and_then(|rest| rest.strip_suffix('='));
    of.map_or_else(|| name.to_owned(), |container| format!("{container:?}"))
}

/// The API server gives an annotation to every container that takes the pod's `AppArmor` profile, and blames that too.
fn comparable(mut judgement: Judgement) -> Judgement {
    if let Some(blamed) = judgement.get_mut(&Rule::AppArmorProfile)
        && blamed.contains(POD)
    {
        *blamed = [POD.to_owned()].into();
    }
    judgement
}

/// The rule for which the API server gives that reason.
fn rule(reason: &str, Standard { level, version }: Standard) -> Option<Rule> {
    let restricted = |since| level == Level::Restricted && version >= Version::v1(since);
    Some(match reason {
        "forbidden AppArmor profile" | "forbidden AppArmor profiles" => Rule::AppArmorProfile,
        "non-default capabilities" => Rule::CapabilitiesBaseline,
        "host namespaces" => Rule::HostNamespaces,
        "hostPath volumes" => Rule::HostPathVolumes,
        "hostPort" => Rule::HostPorts,
        "probe or lifecycle host" => Rule::HostProbesAndHostLifecycle,
        "privileged" => Rule::Privileged,
        "procMount" if restricted(35) => Rule::ProcMountRestricted,
        "procMount" => Rule::ProcMount,
        "seLinuxOptions" => Rule::SeLinuxOptions,
        "seccompProfile" if restricted(19) => Rule::SeccompProfileRestricted,
        "seccompProfile" => Rule::SeccompProfileBaseline,
        "forbidden sysctls" => Rule::Sysctls,
        "hostProcess" => Rule::WindowsHostProcess,
        "allowPrivilegeEscalation != false" => Rule::AllowPrivilegeEscalation,
        "unrestricted capabilities" => Rule::CapabilitiesRestricted,
        "restricted volume types" => Rule::RestrictedVolumes,
        "runAsNonRoot != true" => Rule::RunAsNonRoot,
        "runAsUser=0" => Rule::RunAsUser,
        _ => return None,
    })
}
