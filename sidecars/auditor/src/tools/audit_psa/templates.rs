//! Templates of pods that run, and pods that no template made, held to level `restricted`.

use std::collections::BTreeSet;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, ReplicaSet},
        batch::v1::{CronJob, Job},
        core::v1::{Pod, PodSpec},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use serde_json::{Value, json};
use tentacular_contract::{
    Workload,
    facts::Pairs,
    pod_security::{Level, Standard, Version, Violation},
};

use super::mend::mend;
use crate::{
    audit::{Finding, Method, Remedy, Severity, Target, test},
    view::controller,
};

/// What may make pods, or is one.
#[derive(Debug)]
pub(super) enum Maker {
    Deployment(Box<Deployment>),
    ReplicaSet(Box<ReplicaSet>),
    Job(Box<Job>),
    CronJob(Box<CronJob>),
    Pod(Box<Pod>),
}

/// How a template is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// In place.
    Patch,
    /// It cannot be; the Job can be suspended.
    Suspend,
    /// It cannot be.
    Delete,
}

/// A template that runs, or a pod.
#[derive(Debug)]
pub(super) struct Template<'a> {
    workload: Workload,
    metadata: &'a ObjectMeta,
    annotations: Option<&'a Pairs>,
    spec: &'a PodSpec,
    /// The object as JSON.
    object: Value,
    change: Change,
}

fn json_of(object: &impl serde::Serialize) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

/// The kind of what made an object.
fn made_by(metadata: &ObjectMeta) -> Option<&str> {
    controller(metadata).map(|owner| owner.kind.as_str())
}

impl Maker {
    /// Its kind and its metadata.
    pub(super) fn object(&self) -> (&'static str, &ObjectMeta) {
        let (workload, metadata) = match self {
            Self::Deployment(deployment) => (Workload::Deployment, &deployment.metadata),
            Self::ReplicaSet(set) => (Workload::ReplicaSet, &set.metadata),
            Self::Job(job) => (Workload::Job, &job.metadata),
            Self::CronJob(cron_job) => (Workload::CronJob, &cron_job.metadata),
            Self::Pod(pod) => (Workload::Pod, &pod.metadata),
        };
        (workload.kind(), metadata)
    }

    /// Its template, if it runs and nothing else stands for it.
    pub(super) fn template(&self) -> Option<Template<'_>> {
        match self {
            Self::Deployment(deployment) => {
                let spec = deployment.spec.as_ref().filter(|spec| spec.replicas != Some(0))?;
                Template::of(Workload::Deployment, &deployment.metadata, &spec.template, Change::Patch, &**deployment)
            }
            Self::ReplicaSet(set) => {
                let spec = set.spec.as_ref().filter(|spec| spec.replicas != Some(0))?;
                let template = spec.template.as_ref().filter(|_| made_by(&set.metadata) != Some("Deployment"))?;
                Template::of(Workload::ReplicaSet, &set.metadata, template, Change::Patch, &**set)
            }
            Self::Job(job) => {
                let ended =
                    job.status.iter().flat_map(|status| status.conditions.iter().flatten()).any(|condition| {
                        matches!(condition.type_.as_str(), "Complete" | "Failed") && condition.status == "True"
                    });
                let spec = job.spec.as_ref().filter(|spec| !ended && spec.suspend != Some(true))?;
                let template = Some(&spec.template).filter(|_| made_by(&job.metadata) != Some("CronJob"))?;
                Template::of(Workload::Job, &job.metadata, template, Change::Suspend, &**job)
            }
            Self::CronJob(cron_job) => {
                let spec = cron_job.spec.as_ref().filter(|spec| spec.suspend != Some(true))?;
                let template = &spec.job_template.spec.as_ref()?.template;
                Template::of(Workload::CronJob, &cron_job.metadata, template, Change::Patch, &**cron_job)
            }
            Self::Pod(pod) => {
                let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
                let made = matches!(made_by(&pod.metadata), Some("ReplicaSet" | "Job"));
                if made || matches!(phase, Some("Succeeded" | "Failed")) || pod.metadata.deletion_timestamp.is_some()
                {
                    return None;
                }
                Some(Template {
                    workload: Workload::Pod,
                    metadata: &pod.metadata,
                    annotations: pod.metadata.annotations.as_ref(),
                    spec: pod.spec.as_ref()?,
                    object: Value::Null,
                    change: Change::Delete,
                })
            }
        }
    }
}

impl<'a> Template<'a> {
    fn of(
        workload: Workload,
        metadata: &'a ObjectMeta,
        template: &'a k8s_openapi::api::core::v1::PodTemplateSpec,
        change: Change,
        object: &impl serde::Serialize,
    ) -> Option<Self> {
        Some(Self {
            workload,
            metadata,
            annotations: template.metadata.as_ref().and_then(|metadata| metadata.annotations.as_ref()),
            spec: template.spec.as_ref()?,
            object: json_of(object),
            change,
        })
    }

    /// Kind and metadata of the object that it is in.
    pub(super) const fn owner(&self) -> (&'static str, &'a ObjectMeta) {
        (self.workload.kind(), self.metadata)
    }

    /// What level `restricted` holds against it, as an API server of version `server` knows that, and what an enclave
    /// that enforces `enforced` does, which may be an older version with other rules.
    pub(super) fn findings(&self, enclave: &str, enforced: Standard, server: Version) -> Vec<Finding> {
        let held = |standard: Standard| standard.violations(self.workload.prefix(), self.annotations, self.spec);
        let fields = |violations: &[Violation]| -> BTreeSet<String> {
            violations.iter().map(|violation| violation.field.clone()).collect()
        };
        let mut found = held(Standard { level: Level::Restricted, version: server });
        let refused = held(enforced);
        let here = fields(&refused);
        let known = fields(&found);
        found.extend(refused.into_iter().filter(|violation| !known.contains(&violation.field)));
        if found.is_empty() {
            return Vec::new();
        }
        let severe = fields(&held(Standard { level: Level::Baseline, version: server }));
        let object = self.target(enclave);
        let remedy = self.remedy(&object, &found);
        let finding = |violation: &Violation| {
            let severe = severe.contains(&violation.field);
            let level = if severe { Level::Baseline } else { violation.rule.level() };
            Finding {
                severity: if severe { Severity::High } else { Severity::Medium },
                object: object.title(),
                field: violation.field.clone(),
                message: message(violation, level, here.contains(&violation.field)),
                remediation: self.remediation(violation),
                remedy: remedy.clone(),
            }
        };
        found.iter().map(finding).collect()
    }

    fn target(&self, enclave: &str) -> Target {
        let name = self.metadata.name.as_deref().unwrap_or_default();
        Target::in_namespace(self.workload.api_version(), self.workload.kind(), enclave, name)
    }

    fn remediation(&self, violation: &Violation) -> String {
        let fix = violation.fix;
        match (self.change, made_by(self.metadata)) {
            (Change::Patch, _) => {
                format!("{fix}; the patch mends all fields of the object that are found fault with")
            }
            (Change::Suspend, _) => format!("{fix}, in a new Job: this one cannot be changed; the patch suspends it"),
            (Change::Delete, None) => format!("{fix}, in a new pod: this one cannot be changed; delete it"),
            (Change::Delete, Some(owner)) => format!("{fix}, in the {owner} that made the pod; then delete the pod"),
        }
    }

    /// One for all: some settings are taken only together, such as no escalation of privileges and no privileges.
    fn remedy(&self, object: &Target, found: &[Violation]) -> Remedy {
        match self.change {
            Change::Patch => {
                let mut operations = vec![test("/metadata/generation", &self.metadata.generation)];
                operations.extend(mend(&self.object, found));
                Remedy::json(object.clone(), operations)
            }
            Change::Suspend => Remedy::merge(object.clone(), json!({ "spec": { "suspend": true } })),
            Change::Delete => Remedy { object: object.clone(), method: Method::Delete, patch: Value::Null },
        }
    }
}

fn message(violation: &Violation, level: Level, refused: bool) -> String {
    let standard = Standard { level, version: violation.version };
    let rule = format!("Pod Security {standard} (rule {})", violation.rule.as_str());
    let stands = match &violation.value {
        Some(value) => format!("{value} is forbidden by {rule}"),
        None => format!("it is not set, but has to be by {rule}"),
    };
    if refused {
        format!("{stands}; the API server refuses such pods here")
    } else {
        format!("{stands}; the enclave does not enforce that, so such pods run")
    }
}

#[cfg(test)]
mod tests;
