//! An object of a tentacle, reduced to what the rules look at: never the data of a Secret or `ConfigMap`.

use std::{collections::BTreeMap, sync::LazyLock};

use k8s_openapi::{
    api::{
        apps::v1::DeploymentSpec,
        batch::v1::{CronJobSpec, JobSpec},
        core::v1::{PersistentVolumeClaimSpec, PodTemplateSpec, ServiceSpec},
        networking::v1::{IngressSpec, NetworkPolicySpec},
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    KINDS, Scope,
    reference::Reference,
    selector::{Chooser, Selector},
    violation::{Findings, Rule, Violation},
    {ingress, pod, volume},
};
use crate::Workload as Kind;

/// Labels of an object.
pub(super) type Labels = BTreeMap<String, String>;

/// An object that was read.
#[derive(Debug, Clone)]
pub struct Object {
    kind: &'static str,
    name: String,
    pub(super) metadata: ObjectMeta,
    pub(super) body: Body,
}

/// What the rules look at, kind by kind.
#[derive(Debug, Clone)]
pub(super) enum Body {
    ConfigMap,
    Secret { kind: String },
    Claim(Box<PersistentVolumeClaimSpec>),
    Policy(Box<NetworkPolicySpec>),
    Service(Box<ServiceSpec>),
    Workload(Box<Workload>),
    Ingress(Box<IngressSpec>),
}

/// What makes pods.
#[derive(Debug, Clone)]
pub(super) struct Workload {
    /// What joins a path in the pod to the object, such as `spec.template.`.
    pub(super) prefix: &'static str,
    pub(super) template: PodTemplateSpec,
    /// Path and value of the selector; a Job leaves it to Kubernetes.
    selector: Option<(&'static str, LabelSelector)>,
}

impl Object {
    /// Reads `object`, which is of `kind` in the version that [`KINDS`] have today. Unknown fields are passed over: who
    /// stores the object has to leave them out. The error is a violation too.
    pub fn read(kind: &str, name: &str, object: &Value) -> Result<Self, Box<Violation>> {
        let title = format!("{kind}/{name}");
        let Some(kind) = KINDS.into_iter().find(|known| *known == kind) else {
            let fix = format!("use {}", KINDS.join(", "));
            let problem = "is no kind that a tentacle may consist of".to_owned();
            return Err(Box::new(refusal(&title, "kind", kind, problem, fix)));
        };
        let read = || Ok((part::<ObjectMeta>(object, "metadata")?, Body::read(kind, object)?));
        let (metadata, body) =
            read().map_err(|error: serde_json::Error| Box::new(unlike_kubernetes(&title, &error)))?;
        Ok(Self { kind, name: name.to_owned(), metadata, body })
    }

    /// Reads the pods that `object` is or makes, and nothing else of it, whether or not a tentacle may consist of its kind.
    /// The error is a violation too.
    pub fn pods_of(workload: Kind, name: &str, object: &Value) -> Result<Self, Box<Violation>> {
        let read = || Ok((part::<ObjectMeta>(object, "metadata")?, workload.template(object)?));
        let title = format!("{}/{name}", workload.kind());
        let (metadata, template) =
            read().map_err(|error: serde_json::Error| Box::new(unlike_kubernetes(&title, &error)))?;
        let body = Workload { prefix: workload.prefix(), template: template.unwrap_or_default(), selector: None };
        Ok(Self { kind: workload.kind(), name: name.to_owned(), metadata, body: Body::Workload(Box::new(body)) })
    }

    /// Its kind, one of [`KINDS`] unless only its pods were read.
    pub const fn kind(&self) -> &'static str {
        self.kind
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How messages name it, as Kind/name.
    pub fn title(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }

    /// Kind and name of every other object that it names, for the tentacle of `scope`.
    pub fn names(&self, scope: &Scope<'_>) -> Vec<(String, String)> {
        self.references(scope).into_iter().map(|Reference { kind, name, .. }| (kind, name)).collect()
    }

    /// Whether what it shows to other tentacles' objects is what `before` shows: which pods it chooses, how its pods are
    /// labelled, on which hosts it answers.
    pub fn meets_others_like(&self, before: &Self) -> bool {
        self.choosers() == before.choosers() && self.pods() == before.pods() && self.hosts() == before.hosts()
    }

    /// The other objects that it names.
    pub(super) fn references(&self, scope: &Scope<'_>) -> Vec<Reference> {
        match &self.body {
            Body::ConfigMap | Body::Secret { .. } | Body::Policy(_) | Body::Service(_) => Vec::new(),
            Body::Claim(spec) => volume::of_claim(scope, spec, "spec"),
            Body::Ingress(spec) => ingress::references(spec),
            Body::Workload(workload) => pod::references(scope, workload),
        }
    }

    /// What it chooses pods with.
    pub(super) fn choosers(&self) -> Vec<Chooser> {
        match &self.body {
            Body::ConfigMap | Body::Secret { .. } | Body::Claim(_) | Body::Ingress(_) => Vec::new(),
            Body::Service(spec) => {
                let selector = spec.selector.as_ref().map(Selector::from);
                vec![Chooser { field: "spec.selector".to_owned(), selector }]
            }
            Body::Policy(spec) => {
                let selector = spec.pod_selector.as_ref().map(Selector::from);
                vec![Chooser { field: "spec.podSelector".to_owned(), selector }]
            }
            Body::Workload(workload) => {
                let selector = workload.selector.as_ref().map(|(field, selector)| Chooser {
                    field: (*field).to_owned(),
                    selector: Some(Selector::from(selector)),
                });
                selector.into_iter().chain(pod::choosers(workload)).collect()
            }
        }
    }

    /// The labels of the pods that it makes, and their path.
    pub(super) fn pods(&self) -> Option<(String, &Labels)> {
        static NONE: LazyLock<Labels> = LazyLock::new(Labels::new);
        let Body::Workload(workload) = &self.body else { return None };
        let labels = workload.template.metadata.as_ref().and_then(|metadata| metadata.labels.as_ref());
        Some((format!("{}metadata.labels", workload.prefix), labels.unwrap_or(&NONE)))
    }

    /// The pod that it is, or the template of pods that it makes.
    pub fn template(&self) -> Option<&PodTemplateSpec> {
        let Body::Workload(workload) = &self.body else { return None };
        Some(&workload.template)
    }

    /// The metadata of the pods that it makes, and its path.
    pub(super) fn template_metadata(&self) -> Option<(String, &ObjectMeta)> {
        let Body::Workload(workload) = &self.body else { return None };
        // A pod's own metadata is the object's.
        let metadata = workload.template.metadata.as_ref().filter(|_| !workload.prefix.is_empty())?;
        Some((format!("{}metadata", workload.prefix), metadata))
    }

    /// The hosts that it answers to.
    pub(super) fn hosts(&self) -> Vec<(String, &str)> {
        let Body::Ingress(spec) = &self.body else { return Vec::new() };
        ingress::hosts(spec)
    }
}

impl Body {
    fn read(kind: &str, object: &Value) -> Result<Self, serde_json::Error> {
        Ok(match kind {
            "Secret" => Self::Secret { kind: object["type"].as_str().unwrap_or_default().to_owned() },
            "PersistentVolumeClaim" => Self::Claim(part(object, "spec")?),
            "NetworkPolicy" => Self::Policy(part(object, "spec")?),
            "Service" => Self::Service(part(object, "spec")?),
            "Ingress" => Self::Ingress(part(object, "spec")?),
            "Deployment" => {
                let DeploymentSpec { selector, template, .. } = part(object, "spec")?;
                let selector = Some(("spec.selector", selector));
                Self::Workload(Box::new(Workload { prefix: Kind::Deployment.prefix(), template, selector }))
            }
            "Job" => {
                let JobSpec { selector, template, .. } = part(object, "spec")?;
                let selector = selector.map(|selector| ("spec.selector", selector));
                Self::Workload(Box::new(Workload { prefix: Kind::Job.prefix(), template, selector }))
            }
            "CronJob" => {
                let CronJobSpec { job_template, .. } = part(object, "spec")?;
                let JobSpec { selector, template, .. } = job_template.spec.unwrap_or_default();
                let selector = selector.map(|selector| ("spec.jobTemplate.spec.selector", selector));
                Self::Workload(Box::new(Workload { prefix: Kind::CronJob.prefix(), template, selector }))
            }
            _ => Self::ConfigMap,
        })
    }
}

fn refusal(title: &str, field: &str, value: &str, problem: String, fix: String) -> Violation {
    let mut found = Findings::of(title.to_owned());
    found.add(Rule::Kind, field, value, problem, fix);
    found.into_violations().remove(0)
}

fn unlike_kubernetes(title: &str, error: &serde_json::Error) -> Violation {
    refusal(title, "spec", "", format!("is not as Kubernetes defines it: {error}"), "correct it".to_owned())
}

fn part<T: DeserializeOwned + Default>(object: &Value, member: &str) -> Result<T, serde_json::Error> {
    match &object[member] {
        Value::Null => Ok(T::default()),
        value => T::deserialize(value),
    }
}
