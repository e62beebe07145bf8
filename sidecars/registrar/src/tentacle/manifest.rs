//! One object of a tentacle as it is going to be applied.

use std::fmt;

use serde_json::{Map, Value, json};
use tentacular_cluster::{Kind, Object};
use tentacular_contract::{EnclaveName, TentacleName, Workload, facts::Pairs, keys};

use super::{defaults, fields};

/// A manifest that was checked.
#[derive(Clone, PartialEq)]
pub(crate) struct Manifest {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    /// The object, an object in the sense of JSON.
    pub(crate) body: Value,
}

/// Without the body, which may be a Secret's.
impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Manifest({self})")
    }
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// Where an object of that kind has its pod template, if it makes pods.
pub(crate) fn workload(kind: Kind) -> Option<Workload> {
    Workload::of(kind.group(), kind.as_str())
}

/// The pod template within an object of that kind, as a JSON pointer.
pub(crate) fn pod_template(kind: Kind) -> Option<&'static str> {
    workload(kind).map(Workload::pointer)
}

/// The object at `key`, made where there is none.
pub(crate) fn object_at<'a>(value: &'a mut Value, key: &str) -> Option<&'a mut Map<String, Value>> {
    let member = value.as_object_mut()?.entry(key).or_insert_with(|| json!({}));
    if member.is_null() {
        *member = json!({});
    }
    member.as_object_mut()
}

impl Manifest {
    /// Whether this is the Deployment that the tentacle is.
    pub(crate) fn is_deployment_of(&self, tentacle: &TentacleName) -> bool {
        self.kind == Kind::Deployment && self.name == tentacle.as_str()
    }

    /// Whether this is the Secret of that name.
    pub(crate) fn is_secret(&self, name: &str) -> bool {
        self.kind == Kind::Secret && self.name == name
    }

    /// What the last apply said of an object that stands in the cluster.
    pub(crate) fn applied(kind: Kind, live: &Object) -> Result<Self, serde_json::Error> {
        let name = live.metadata.name.clone().unwrap_or_default();
        let mut body = fields::applied(live)?;
        body["apiVersion"] = kind.api_version().into();
        body["kind"] = kind.as_str().into();
        body["metadata"]["name"] = name.clone().into();
        body["metadata"]["namespace"] = live.metadata.namespace.clone().into();
        Ok(Self { kind, name, body })
    }

    /// Puts the object into its enclave and its release, and adds the defaults that Pod Security asks for.
    pub(crate) fn place(&mut self, enclave: &EnclaveName, tentacle: &TentacleName) {
        if let Some(metadata) = object_at(&mut self.body, "metadata") {
            metadata.insert("namespace".to_owned(), enclave.as_str().into());
        }
        label(&mut self.body, &[(keys::RELEASE, tentacle.as_str()), (keys::MANAGED_BY, keys::TENTACULAR)]);
        // What Kubernetes makes of a template belongs to this release too, whatever the manifest says.
        if let Some(job) = self.body.pointer_mut("/spec/jobTemplate") {
            label(job, &[(keys::RELEASE, tentacle.as_str()), (keys::MANAGED_BY, keys::TENTACULAR)]);
        }
        if self.kind == Kind::Deployment {
            say_strategy(&mut self.body);
        }
        let Some(template) = pod_template(self.kind).and_then(|pointer| self.body.pointer_mut(pointer)) else {
            return;
        };
        label(template, &[(keys::RELEASE, tentacle.as_str())]);
        let volumes = template.pointer_mut("/spec/volumes").and_then(Value::as_array_mut);
        for claim in
            volumes.into_iter().flatten().filter_map(|volume| volume.pointer_mut("/ephemeral/volumeClaimTemplate"))
        {
            label(claim, &[(keys::RELEASE, tentacle.as_str())]);
        }
        if let Some(spec) = template.get_mut("spec") {
            defaults::harden(spec);
        }
    }

    /// Sets annotations beside those that are there.
    pub(crate) fn annotate(&mut self, annotations: Pairs) {
        let Some(metadata) = self.body.get_mut("metadata") else { return };
        let Some(present) = object_at(metadata, "annotations") else { return };
        present.extend(annotations.into_iter().map(|(key, value)| (key, value.into())));
    }

    /// Sets an annotation on the pods that it makes.
    pub(crate) fn annotate_pods(&mut self, key: &str, value: &str) {
        let Some(template) = pod_template(self.kind).and_then(|pointer| self.body.pointer_mut(pointer)) else {
            return;
        };
        let Some(metadata) = object_at(template, "metadata") else { return };
        let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
        if annotations.is_null() {
            *annotations = json!({});
        }
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.insert(key.to_owned(), value.into());
        }
    }

    /// As the cluster takes it: to change `live` and nothing that stands there since, or to be new.
    pub(crate) fn to_object(&self, live: Option<&Object>) -> Result<Object, serde_json::Error> {
        let mut object: Object = serde_json::from_value(self.body.clone())?;
        if let Some(live) = live {
            object.metadata.uid.clone_from(&live.metadata.uid);
            object.metadata.resource_version.clone_from(&live.metadata.resource_version);
        }
        Ok(object)
    }
}

/// Says what Kubernetes fills in for a rolling update. Server-side apply removes only what an earlier apply said, and
/// Kubernetes refuses another strategy while this is there.
fn say_strategy(deployment: &mut Value) {
    let Some(spec) = deployment.get_mut("spec") else { return };
    let Some(strategy) = object_at(spec, "strategy") else { return };
    if *strategy.entry("type").or_insert_with(|| json!("RollingUpdate")) != "RollingUpdate" {
        return;
    }
    let rolling = strategy.entry("rollingUpdate").or_insert_with(|| json!({}));
    if let Some(rolling) = rolling.as_object_mut() {
        for limit in ["maxSurge", "maxUnavailable"] {
            rolling.entry(limit).or_insert_with(|| json!("25%"));
        }
    }
}

fn label(value: &mut Value, labels: &[(&str, &str)]) {
    let Some(metadata) = object_at(value, "metadata") else { return };
    let present = metadata.entry("labels").or_insert_with(|| json!({}));
    if present.is_null() {
        *present = json!({});
    }
    let Some(present) = present.as_object_mut() else { return };
    present.extend(labels.iter().map(|&(key, value)| (key.to_owned(), value.into())));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_placed_with_its_pod_template() {
        let body = json!({
            "apiVersion": "batch/v1", "kind": "CronJob",
            "metadata": { "name": "a", "labels": { "tentacular.io/release": "b", "x": "y" } },
            "spec": { "jobTemplate": {
                "metadata": { "labels": { "tentacular.io/release": "b" } },
                "spec": { "template": { "spec": {
                    "containers": [],
                    "volumes": [{ "name": "v", "ephemeral": { "volumeClaimTemplate": {
                        "metadata": { "labels": { "tentacular.io/release": "b" } }, "spec": {},
                    } } }],
                } } },
            } },
        });
        let mut manifest = Manifest { kind: Kind::CronJob, name: "a".to_owned(), body };
        manifest.place(&"team-a".parse().unwrap(), &"a".parse().unwrap());
        assert_eq!(manifest.body["metadata"]["namespace"], "team-a");
        assert_eq!(
            manifest.body["metadata"]["labels"],
            json!({ "tentacular.io/release": "a", "app.kubernetes.io/managed-by": "tentacular", "x": "y" })
        );
        let template = &manifest.body["spec"]["jobTemplate"]["spec"]["template"];
        assert_eq!(template["metadata"]["labels"], json!({ "tentacular.io/release": "a" }));
        assert_eq!(template["spec"]["securityContext"]["runAsNonRoot"], true);
        assert!(!manifest.body.to_string().contains("\"tentacular.io/release\":\"b\""), "{}", manifest.body);
    }
}
