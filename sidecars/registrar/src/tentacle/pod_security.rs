//! What the Pod Security level of the enclave's namespace holds against pod templates. The API server checks pods
//! alone, so that without this an apply would succeed and no pod start.

use tentacular_contract::pod_security::Standard;

use super::manifest::{Manifest, workload};

/// Everything that `standard` holds against the pods of `manifest`, one sentence each. The defaults must have been added.
pub(crate) fn violations(manifest: &Manifest, standard: Standard) -> Vec<String> {
    let Some(workload) = workload(manifest.kind) else { return Vec::new() };
    let template = match workload.template(&manifest.body) {
        Ok(Some(template)) => template,
        Ok(None) => return Vec::new(),
        Err(error) => return vec![format!("{manifest}: {}: {error}", workload.path())],
    };
    let annotations = template.metadata.as_ref().and_then(|metadata| metadata.annotations.as_ref());
    let spec = template.spec.unwrap_or_default();
    let found = standard.violations(workload.prefix(), annotations, &spec);
    found.iter().map(|violation| format!("{manifest}: {violation}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tentacular_cluster::Kind;
    use tentacular_contract::pod_security::{Level, Version};

    use super::*;

    fn of(kind: Kind, spec: &Value) -> Vec<String> {
        let standard = Standard { level: Level::Baseline, version: Version::NEWEST };
        violations(&Manifest { kind, name: "a".to_owned(), body: json!({ "spec": spec }) }, standard)
    }

    #[test]
    fn every_kind_that_makes_pods_is_looked_at() {
        let template = json!({
            "metadata": { "annotations": { "container.apparmor.security.beta.kubernetes.io/c": "unconfined" } },
            "spec": { "hostPID": true, "containers": [] },
        });
        for (kind, spec, path) in [
            (Kind::Deployment, json!({ "template": template }), "spec.template"),
            (Kind::Job, json!({ "template": template }), "spec.template"),
            (
                Kind::CronJob,
                json!({ "jobTemplate": { "spec": { "template": template } } }),
                "spec.jobTemplate.spec.template",
            ),
        ] {
            let found = of(kind, &spec);
            assert_eq!(found.len(), 2, "{found:?}");
            assert!(found[0].starts_with(&format!("{kind}/a: {path}.metadata.annotations[")), "{found:?}");
            assert!(found[1].starts_with(&format!("{kind}/a: {path}.spec.hostPID: true")), "{found:?}");
        }
        assert_eq!(of(Kind::ConfigMap, &json!({ "template": template })), Vec::<String>::new());
    }
}
