//! Pods: every name that a pod template can hold, whom its pods keep away, as whom and where they run.

use k8s_openapi::api::core::v1::{
    Container, EnvFromSource, EnvVar, EnvVarSource, EphemeralContainer, PodAffinityTerm, PodSpec,
};

use super::{
    Scope,
    object::Workload,
    reference::Reference,
    selector::{Chooser, Selector},
    violation::{Findings, Rule},
    volume,
};

/// Accounts that a pod may run as: neither has rights.
const ACCOUNTS: [&str; 2] = ["default", "tentacular-workflow"];

/// Priority classes that begin so evict whatever is in their way.
const SYSTEM: &str = "system-";

/// As whom and where the pods run.
pub(super) fn check(scope: &Scope<'_>, workload: &Workload, found: &mut Findings) {
    let Some(spec) = &workload.template.spec else { return };
    let at = format!("{}spec", workload.prefix);
    // The second is an older name of the first, which the API server still reads, and fills in from it.
    let name = spec.service_account_name.as_deref();
    let older = spec.service_account.as_deref().filter(|older| name != Some(*older));
    for (field, account) in [("serviceAccountName", name), ("serviceAccount", older)] {
        let Some(account) = account else { continue };
        if !account.is_empty() && !ACCOUNTS.contains(&account) {
            let fix = format!("use {} or leave it out", ACCOUNTS.join(" or "));
            found.add(Rule::Account, format!("{at}.{field}"), account, "is no account of a tentacle", fix);
        }
    }
    if let Some(node) = spec.node_name.as_deref().filter(|node| !node.is_empty()) {
        let problem = "takes a place on a node past the scheduler";
        found.add(Rule::Scheduling, format!("{at}.nodeName"), node, problem, "use nodeSelector or affinity");
    }
    if let Some(class) = spec.priority_class_name.as_deref().filter(|class| class.starts_with(SYSTEM)) {
        let field = format!("{at}.priorityClassName");
        found.add(Rule::Scheduling, field, class, "evicts other pods, the cluster's own too", "leave it out");
    }
    for (field, term) in required_anti_affinity(workload) {
        let elsewhere = |name: &&String| name.as_str() != scope.enclave.as_str();
        let named = term.namespaces.iter().flatten().find(elsewhere);
        if term.namespace_selector.is_some() || named.is_some() {
            let problem = "keeps pods of other enclaves from being scheduled";
            let value = named.map(String::as_str).unwrap_or_default();
            found.add(Rule::Scheduling, field, value, problem, "leave out namespaces and namespaceSelector");
        }
    }
}

/// Whom its pods keep away: anti-affinity that is required holds for the others too.
pub(super) fn choosers(workload: &Workload) -> impl Iterator<Item = Chooser> {
    required_anti_affinity(workload).into_iter().filter_map(|(field, term)| {
        // A term without selector is about nobody.
        let selector = Selector::from(term.label_selector.as_ref()?);
        Some(Chooser { field: format!("{field}.labelSelector"), selector: Some(selector) })
    })
}

fn required_anti_affinity(workload: &Workload) -> Vec<(String, &PodAffinityTerm)> {
    let spec = workload.template.spec.as_ref();
    let affinity =
        spec.and_then(|spec| spec.affinity.as_ref()).and_then(|affinity| affinity.pod_anti_affinity.as_ref());
    let terms = affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    let at = format!("{}spec.affinity.podAntiAffinity", workload.prefix);
    let field = |index| format!("{at}.requiredDuringSchedulingIgnoredDuringExecution[{index}]");
    terms.into_iter().flatten().enumerate().map(|(index, term)| (field(index), term)).collect()
}

/// What the pods name.
pub(super) fn references(scope: &Scope<'_>, workload: &Workload) -> Vec<Reference> {
    let Some(spec) = &workload.template.spec else { return Vec::new() };
    let at = format!("{}spec", workload.prefix);
    let PodSpec {
        containers,
        init_containers,
        ephemeral_containers,
        volumes,
        image_pull_secrets,
        resource_claims,
        ..
    } = spec;
    let mut found = Vec::new();
    for (index, volume) in volumes.iter().flatten().enumerate() {
        found.extend(volume::of_volume(scope, volume, &format!("{at}.volumes[{index}]")));
    }
    for (list, containers) in [("initContainers", init_containers.as_ref()), ("containers", Some(containers))] {
        for (index, Container { env, env_from, .. }) in containers.into_iter().flatten().enumerate() {
            found.extend(of_environment(env.as_ref(), env_from.as_ref(), &format!("{at}.{list}[{index}]")));
        }
    }
    for (index, EphemeralContainer { env, env_from, .. }) in ephemeral_containers.iter().flatten().enumerate() {
        found.extend(of_environment(env.as_ref(), env_from.as_ref(), &format!("{at}.ephemeralContainers[{index}]")));
    }
    for (index, secret) in image_pull_secrets.iter().flatten().enumerate() {
        found.push(Reference::new("Secret", &secret.name, format!("{at}.imagePullSecrets[{index}].name")));
    }
    for (index, claim) in resource_claims.iter().flatten().enumerate() {
        let names = [
            ("ResourceClaim", "resourceClaimName", &claim.resource_claim_name),
            ("ResourceClaimTemplate", "resourceClaimTemplateName", &claim.resource_claim_template_name),
        ];
        found.extend(names.into_iter().filter_map(|(kind, field, name)| {
            Some(Reference::new(kind, name.as_deref()?, format!("{at}.resourceClaims[{index}].{field}")))
        }));
    }
    found
}

fn of_environment(env: Option<&Vec<EnvVar>>, env_from: Option<&Vec<EnvFromSource>>, at: &str) -> Vec<Reference> {
    let mut found = Vec::new();
    for (index, variable) in env.into_iter().flatten().enumerate() {
        let Some(source) = &variable.value_from else { continue };
        let EnvVarSource { config_map_key_ref, secret_key_ref, field_ref: _, resource_field_ref: _ } = source;
        let field = |member: &str| format!("{at}.env[{index}].valueFrom.{member}.name");
        let maps = config_map_key_ref.iter();
        found.extend(maps.map(|map| Reference::new("ConfigMap", &map.name, field("configMapKeyRef"))));
        let secrets = secret_key_ref.iter();
        found.extend(secrets.map(|secret| Reference::new("Secret", &secret.name, field("secretKeyRef"))));
    }
    for (index, source) in env_from.into_iter().flatten().enumerate() {
        let EnvFromSource { config_map_ref, secret_ref, prefix: _ } = source;
        let field = |member: &str| format!("{at}.envFrom[{index}].{member}.name");
        let maps = config_map_ref.iter();
        found.extend(maps.map(|map| Reference::new("ConfigMap", &map.name, field("configMapRef"))));
        found.extend(secret_ref.iter().map(|secret| Reference::new("Secret", &secret.name, field("secretRef"))));
    }
    found
}
