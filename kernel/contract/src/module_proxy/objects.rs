//! The objects that the module proxy consists of, as server-side apply takes them: every field in them is the server's.

use serde_json::{Value, json};

use super::{CACHE, CLAIM, LABELS, ModuleProxy, NAME, PORT};
use crate::facts::Pairs;

/// The user of the image. It is named there, and a name does not prove to the kubelet that it is not root.
const USER: u32 = 1000;

/// The objects, as JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct Objects {
    /// Its volume, with a storage size. One that is there stays when the size is taken out of the settings.
    pub claim: Option<Value>,
    /// Where tentacles reach it.
    pub service: Value,
    /// Its one pod.
    pub deployment: Value,
}

impl ModuleProxy {
    /// What it consists of with these settings.
    pub fn objects(&self) -> Objects {
        Objects {
            claim: self.storage_size.as_deref().map(|size| self.claim(size)),
            service: self.service(),
            deployment: self.deployment(),
        }
    }

    fn metadata(&self, name: &str) -> Value {
        json!({ "name": name, "namespace": self.namespace, "labels": labels() })
    }

    fn claim(&self, size: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": self.metadata(CLAIM),
            "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": size } } },
        })
    }

    fn service(&self) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": self.metadata(NAME),
            "spec": {
                "type": "ClusterIP",
                "selector": labels(),
                "ports": [{ "name": "http", "port": PORT, "targetPort": PORT, "protocol": "TCP" }],
            },
        })
    }

    fn deployment(&self) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": self.metadata(NAME),
            "spec": {
                "replicas": 1,
                "selector": { "matchLabels": labels() },
                // A volume that one node mounts is free for the next pod only when this one is gone.
                "strategy": { "type": "Recreate" },
                "template": { "metadata": { "labels": labels() }, "spec": self.pod() },
            },
        })
    }

    fn pod(&self) -> Value {
        let cache = match self.storage_size {
            Some(_) => json!({ "name": "cache", "persistentVolumeClaim": { "claimName": CLAIM } }),
            None => json!({ "name": "cache", "emptyDir": {} }),
        };
        json!({
            "automountServiceAccountToken": false,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
                "seccompProfile": { "type": "RuntimeDefault" },
            },
            "containers": [{
                "name": NAME,
                "image": self.image,
                // Where it listens and keeps what it made. Left out, either depends on the image's version.
                "env": [{ "name": "ESMPORT", "value": PORT.to_string() }, { "name": "ESMDIR", "value": CACHE }],
                "ports": [{ "name": "http", "containerPort": PORT, "protocol": "TCP" }],
                "readinessProbe": {
                    "httpGet": { "path": "/status.json", "port": PORT }, "initialDelaySeconds": 5, "periodSeconds": 10,
                },
                "resources": {
                    "requests": { "cpu": "100m", "memory": "128Mi" }, "limits": { "cpu": "500m", "memory": "512Mi" },
                },
                "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
                "volumeMounts": [{ "name": "cache", "mountPath": CACHE }],
            }],
            "volumes": [cache],
        })
    }
}

fn labels() -> Value {
    LABELS.into_iter().map(|(key, value)| (key.to_owned(), Value::from(value))).collect()
}

/// Whether an object of its name says by its labels that it is this server's, or an older one's.
pub fn is_marked(labels: &Pairs) -> bool {
    LABELS.into_iter().all(|(key, value)| labels.get(key).is_some_and(|found| found == value))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::{
        apps::v1::Deployment,
        core::v1::{PersistentVolumeClaim, Service},
    };
    use serde::{Serialize, de::DeserializeOwned};

    use super::*;
    use crate::pod_security::{Level, Standard, Version};

    fn settings(storage_size: Option<&str>) -> ModuleProxy {
        ModuleProxy {
            namespace: "modules".to_owned(),
            image: "esm.example/esm:1".to_owned(),
            storage_size: storage_size.map(str::to_owned),
            disabled: false,
        }
    }

    /// The object in its type, once it is sure that the type knows every field of it.
    fn typed<T: Serialize + DeserializeOwned>(object: &Value) -> T {
        let typed: T = serde_json::from_value(object.clone()).expect("an object of its kind");
        assert_eq!(serde_json::to_value(&typed).expect("JSON"), *object);
        typed
    }

    #[test]
    fn the_service_leads_to_the_pods_that_the_deployment_makes() {
        for size in [None, Some("5Gi")] {
            let Objects { claim, service, deployment } = settings(size).objects();
            let (service, deployment) = (typed::<Service>(&service), typed::<Deployment>(&deployment));
            let (service, deployment) = (service.spec.expect("a spec"), deployment.spec.expect("a spec"));
            let pods = deployment.template.metadata.expect("metadata").labels;
            assert_eq!((&service.selector, &deployment.selector.match_labels), (&pods, &pods));
            assert!(is_marked(&pods.expect("labels")));
            let claim = claim.as_ref().map(typed::<PersistentVolumeClaim>);
            assert_eq!(claim.and_then(|claim| claim.metadata.name).as_deref(), size.map(|_| CLAIM));
        }
    }

    #[test]
    fn restricted_has_nothing_against_its_pods() {
        let standard = Standard { level: Level::Restricted, version: Version::NEWEST };
        for size in [None, Some("5Gi")] {
            let deployment = typed::<Deployment>(&settings(size).objects().deployment);
            let mut pod = deployment.spec.and_then(|spec| spec.template.spec).expect("pods");
            assert_eq!(standard.violations("", None, &pod), []);
            // A user that is named by the image alone is none to the kubelet.
            assert!(
                pod.security_context.as_ref().is_some_and(|context| context.run_as_user.is_some_and(|user| user > 0))
            );
            pod.security_context = None;
            assert_ne!(standard.violations("", None, &pod), []);
        }
    }

    #[test]
    fn modules_are_kept_where_the_program_is_told_to_keep_them() {
        for (size, kept) in [(None, json!({})), (Some("5Gi"), json!({ "claimName": CLAIM }))] {
            let deployment = settings(size).objects().deployment;
            let pod = &deployment["spec"]["template"]["spec"];
            let container = &pod["containers"][0];
            let kind = if size.is_some() { "persistentVolumeClaim" } else { "emptyDir" };
            assert_eq!(pod["volumes"], json!([{ "name": "cache", kind: kept }]));
            assert_eq!(container["volumeMounts"], json!([{ "name": "cache", "mountPath": CACHE }]));
            assert_eq!(container["env"][1], json!({ "name": "ESMDIR", "value": CACHE }));
        }
    }

    #[test]
    fn only_all_labels_together_mark_an_object() {
        let all: Pairs = LABELS.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        assert!(is_marked(&all));
        for (key, _) in LABELS {
            let mut other = all.clone();
            other.insert(key.to_owned(), "helm".to_owned());
            assert!(!is_marked(&other), "{key}");
        }
    }
}
