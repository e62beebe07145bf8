//! Ingresses: hosts below the enclave's own domain, and nothing behind them but the tentacle's own Services.

use k8s_openapi::{
    api::networking::v1::{IngressBackend, IngressSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{
    Scope,
    reference::Reference,
    violation::{Findings, Rule},
};
use crate::names::is_subdomain;

/// Annotations that an Ingress may have. From all others, controllers take further hosts, Secrets of any namespace and
/// raw configuration.
const ANNOTATIONS: [&str; 4] =
    ["tentacular.io/", "app.kubernetes.io/", "kubectl.kubernetes.io/", "kubernetes.io/ingress.class"];

/// What an Ingress may not ask for.
pub(super) fn check(scope: &Scope<'_>, spec: &IngressSpec, metadata: &ObjectMeta, found: &mut Findings) {
    let Some(domain) = scope.ingress_domain else {
        let problem = "is refused, as this installation has no ingress domain under which an enclave may have hosts";
        found.add(Rule::Kind, "kind", "Ingress", problem, "leave it out");
        return;
    };
    let suffix = format!(".{}.{domain}", scope.enclave);
    for (field, host) in hosts(spec) {
        let is_own = host.strip_suffix(&suffix).is_some_and(is_subdomain) && is_subdomain(host);
        if !is_own {
            let problem = if host.is_empty() { "is missing, which means every host" } else { "is not the enclave's" };
            found.add(Rule::Host, field, host, problem, format!("use a name that ends in {suffix}"));
        }
    }
    if spec.default_backend.is_some() {
        let problem = "answers for every host that nobody else has";
        found.add(Rule::Host, "spec.defaultBackend", "", problem, "give each rule its host and backend");
    }
    for key in metadata.annotations.iter().flatten().map(|(key, _)| key) {
        if !ANNOTATIONS.iter().any(|allowed| key.starts_with(allowed)) {
            let problem = "may give the ingress controller other hosts, Secrets or configuration";
            found.add(Rule::Host, "metadata.annotations", key, problem, "leave it out");
        }
    }
}

/// Every host with its path; an empty one where a rule has none.
pub(super) fn hosts(spec: &IngressSpec) -> Vec<(String, &str)> {
    let rules = spec.rules.iter().flatten().enumerate();
    let rules = rules.map(|(index, rule)| (format!("spec.rules[{index}].host"), rule.host.as_deref().unwrap_or("")));
    let tls = spec.tls.iter().flatten().enumerate();
    let tls = tls.flat_map(|(index, tls)| {
        let hosts = tls.hosts.iter().flatten().enumerate();
        hosts.map(move |(host, name)| (format!("spec.tls[{index}].hosts[{host}]"), name.as_str()))
    });
    rules.chain(tls).collect()
}

/// The Secrets of its certificates, and what stands behind its hosts.
pub(super) fn references(spec: &IngressSpec) -> Vec<Reference> {
    let mut found = Vec::new();
    for (index, tls) in spec.tls.iter().flatten().enumerate() {
        let secret = tls.secret_name.iter().filter(|name| !name.is_empty());
        found.extend(secret.map(|name| Reference::new("Secret", name, format!("spec.tls[{index}].secretName"))));
    }
    found.extend(spec.default_backend.iter().filter_map(|backend| behind(backend, "spec.defaultBackend")));
    for (index, rule) in spec.rules.iter().flatten().enumerate() {
        for (path, route) in rule.http.iter().flat_map(|http| &http.paths).enumerate() {
            found.extend(behind(&route.backend, &format!("spec.rules[{index}].http.paths[{path}].backend")));
        }
    }
    found
}

fn behind(backend: &IngressBackend, at: &str) -> Option<Reference> {
    let IngressBackend { resource, service } = backend;
    if let Some(resource) = resource {
        let kind = format!("{} as a backend", resource.kind);
        return Some(Reference::new(&kind, &resource.name, format!("{at}.resource.name")));
    }
    let service = service.as_ref()?;
    Some(Reference::new("Service", &service.name, format!("{at}.service.name")))
}
