//! What an object of a tentacle may not be, whatever Kubernetes thinks of it: nothing that reaches beyond the tentacle
//! or the enclave.

use serde_json::Value;
use tentacular_cluster::Kind;
use tentacular_contract::TentacleName;

use super::manifest::{Manifest, OURS, pod_template};

/// Accounts that a pod may run as: neither has rights.
const ACCOUNTS: [&str; 2] = ["default", "tentacular-workflow"];

/// What the rules hold against `manifest`, each with the path of the field.
pub(crate) fn violations(manifest: &Manifest) -> Vec<String> {
    let mut found = match manifest.kind {
        Kind::Service => service(&manifest.body),
        Kind::Secret => secret(&manifest.body),
        Kind::Ingress => vec![
            "kind: an Ingress is refused, as this installation has no ingress domain under which an enclave may \
             have hosts; leave it out"
                .to_owned(),
        ],
        _ => Vec::new(),
    };
    if let Some(template) = pod_template(manifest.kind)
        && let Some(spec) = manifest.body.pointer(&format!("{template}/spec"))
    {
        found.extend(pod(spec, &template.trim_start_matches('/').replace('/', ".")));
    }
    found
}

/// What is wrong with the name of an object of `kind`, if anything.
pub(crate) fn name(kind: Kind, name: &str, tentacle: &TentacleName) -> Option<String> {
    if kind == Kind::Service && name.parse::<TentacleName>().is_err() {
        return Some(format!(
            "metadata.name: {name:?} is no name of a Service: use 1 to 63 of a-z, 0-9 and '-', starting with a letter"
        ));
    }
    if !is_subdomain(name) {
        return Some(format!(
            "metadata.name: {name:?} is no DNS name: use at most 253 of a-z, 0-9, '-' and '.', beginning and ending \
             with a letter or digit"
        ));
    }
    let exoskeleton = format!("{OURS}exoskeleton-{tentacle}");
    (name.starts_with(OURS) && name != exoskeleton)
        .then(|| format!("metadata.name: {name} is refused, names that begin with {OURS} are the server's own"))
}

/// A name as RFC 1123 has it: labels, separated by dots.
fn is_subdomain(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

fn service(body: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let spec = &body["spec"];
    let kind = spec["type"].as_str().unwrap_or("ClusterIP");
    if kind != "ClusterIP" {
        found.push(format!(
            "spec.type: {kind} is refused, as it opens the tentacle to the outside or stands for a foreign name; use \
             ClusterIP"
        ));
    }
    if spec["externalIPs"].as_array().is_some_and(|list| !list.is_empty()) {
        found.push("spec.externalIPs: refused, as it takes over addresses outside the enclave; leave it out".into());
    }
    if spec["externalName"].as_str().is_some_and(|name| !name.is_empty()) {
        found.push("spec.externalName: refused, as it stands for a foreign name; leave it out".into());
    }
    found
}

fn secret(body: &Value) -> Vec<String> {
    let kind = body["type"].as_str().unwrap_or_default();
    if kind != "kubernetes.io/service-account-token" {
        return Vec::new();
    }
    vec![format!("type: {kind} is refused, as it makes a lasting token for the Kubernetes API; use Opaque")]
}

fn pod(spec: &Value, template: &str) -> Vec<String> {
    // The second is an older name of the first, which the API server still reads.
    let fields = ["serviceAccountName", "serviceAccount"].into_iter();
    let named = fields.filter_map(|field| Some((field, spec[field].as_str()?)));
    let refused = named.filter(|(_, account)| !account.is_empty() && !ACCOUNTS.contains(account));
    refused
        .map(|(field, account)| {
            format!("{template}.spec.{field}: {account} is refused; use {} or leave it out", ACCOUNTS.join(" or "))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(kind: Kind, body: Value) -> Vec<String> {
        violations(&Manifest { kind, name: "a".to_owned(), body })
    }

    #[test]
    fn a_service_stays_inside() {
        for (spec, field) in [
            (json!({ "type": "NodePort" }), "spec.type: NodePort"),
            (json!({ "type": "LoadBalancer" }), "spec.type: LoadBalancer"),
            (json!({ "type": "ExternalName", "externalName": "x.io" }), "spec.externalName"),
            (json!({ "externalIPs": ["1.2.3.4"] }), "spec.externalIPs"),
        ] {
            let found = of(Kind::Service, json!({ "spec": spec })).join("\n");
            assert!(found.contains(field), "{found}");
        }
        for spec in [json!({}), json!({ "type": "ClusterIP", "externalIPs": [], "clusterIP": "None" })] {
            assert_eq!(of(Kind::Service, json!({ "spec": spec })), Vec::<String>::new());
        }
    }

    #[test]
    fn no_token_is_made_and_no_other_account_used() {
        assert_eq!(of(Kind::Secret, json!({ "type": "kubernetes.io/service-account-token" })).len(), 1);
        assert!(of(Kind::Secret, json!({ "type": "Opaque" })).is_empty());
        for field in ["serviceAccountName", "serviceAccount"] {
            let pod = |account: &str| json!({ "spec": { field: account } });
            let job = json!({ "spec": { "jobTemplate": { "spec": { "template": pod("root") } } } });
            let found = of(Kind::CronJob, job);
            let expected = format!("spec.jobTemplate.spec.template.spec.{field}: root is refused");
            assert!(found.len() == 1 && found[0].starts_with(&expected), "{found:?}");
            for account in ["", "default", "tentacular-workflow"] {
                assert!(of(Kind::Deployment, json!({ "spec": { "template": pod(account) } })).is_empty());
            }
        }
    }

    #[test]
    fn no_ingress_without_a_domain() {
        assert_eq!(of(Kind::Ingress, json!({ "spec": {} })).len(), 1);
    }

    #[test]
    fn names_are_dns_names_and_not_ours() {
        let tentacle: TentacleName = "report".parse().unwrap();
        let of = |kind, text: &str| name(kind, text, &tentacle);
        for text in ["a", "a.b-c.1", "1a", "tentacular-exoskeleton-report", "tentacular"] {
            assert_eq!(of(Kind::ConfigMap, text), None, "{text}");
        }
        for text in ["", "A", "a_b", ".a", "a..b", "-a", "a/b", "tentacular-lock", "tentacular-exoskeleton-other"] {
            assert!(of(Kind::ConfigMap, text).is_some(), "{text}");
        }
        for text in ["a.b", "1a"] {
            assert!(of(Kind::Service, text).is_some(), "{text}");
        }
    }
}
