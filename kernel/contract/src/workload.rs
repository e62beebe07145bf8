//! The kinds of Kubernetes that are a pod or hold a template of pods, and where in an object the pod stands.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde::Deserialize as _;
use serde_json::Value;

/// A kind that is a pod or holds a template of pods. All are of version v1 of their group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is the kind of its name")]
pub enum Workload {
    Pod,
    PodTemplate,
    ReplicationController,
    ReplicaSet,
    Deployment,
    StatefulSet,
    DaemonSet,
    Job,
    CronJob,
}

impl Workload {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Pod,
        Self::PodTemplate,
        Self::ReplicationController,
        Self::ReplicaSet,
        Self::Deployment,
        Self::StatefulSet,
        Self::DaemonSet,
        Self::Job,
        Self::CronJob,
    ];

    /// The kind of that API group, empty for the core group, and name.
    pub fn of(group: &str, kind: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.kind() == kind && known.group() == group)
    }

    /// How an object names its kind.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Pod => "Pod",
            Self::PodTemplate => "PodTemplate",
            Self::ReplicationController => "ReplicationController",
            Self::ReplicaSet => "ReplicaSet",
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::Job => "Job",
            Self::CronJob => "CronJob",
        }
    }

    /// Its API group, empty for the core group.
    pub const fn group(self) -> &'static str {
        match self {
            Self::Pod | Self::PodTemplate | Self::ReplicationController => "",
            Self::ReplicaSet | Self::Deployment | Self::StatefulSet | Self::DaemonSet => "apps",
            Self::Job | Self::CronJob => "batch",
        }
    }

    /// The group and version that an object of the kind names, such as `apps/v1`.
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::Pod | Self::PodTemplate | Self::ReplicationController => "v1",
            Self::ReplicaSet | Self::Deployment | Self::StatefulSet | Self::DaemonSet => "apps/v1",
            Self::Job | Self::CronJob => "batch/v1",
        }
    }

    /// Path of what holds the pod's metadata and spec, such as `spec.template`; empty for a pod, which is that itself.
    pub const fn path(self) -> &'static str {
        self.places().0
    }

    /// The same with the dot that joins it to a path in the pod, such as `spec.template.`.
    pub const fn prefix(self) -> &'static str {
        self.places().1
    }

    /// The same as a JSON pointer (RFC 6901), such as `/spec/template`.
    pub const fn pointer(self) -> &'static str {
        self.places().2
    }

    const fn places(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Pod => ("", "", ""),
            Self::PodTemplate => ("template", "template.", "/template"),
            Self::CronJob => (
                "spec.jobTemplate.spec.template",
                "spec.jobTemplate.spec.template.",
                "/spec/jobTemplate/spec/template",
            ),
            _ => ("spec.template", "spec.template.", "/spec/template"),
        }
    }

    /// The pod, or the template of pods, in an `object` of the kind; `None` where there is none.
    ///
    /// # Errors
    /// When what stands there is not as Kubernetes defines it.
    pub fn template(self, object: &Value) -> Result<Option<PodTemplateSpec>, serde_json::Error> {
        let template = object.pointer(self.pointer()).filter(|template| !template.is_null());
        template.map(PodTemplateSpec::deserialize).transpose()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_kind_is_known_by_its_group_and_name() {
        for workload in Workload::ALL {
            assert_eq!(Workload::of(workload.group(), workload.kind()), Some(workload));
            let versioned = format!("{}/v1", workload.group());
            assert_eq!(workload.api_version(), versioned.trim_start_matches('/'));
        }
        for (group, kind) in [("", "Deployment"), ("apps", "Pod"), ("extensions", "Deployment"), ("", "Service")] {
            assert_eq!(Workload::of(group, kind), None, "{group}/{kind}");
        }
    }

    #[test]
    fn path_prefix_and_pointer_name_the_same_place() {
        for workload in Workload::ALL {
            let (path, prefix, pointer) = (workload.path(), workload.prefix(), workload.pointer());
            let steps: Vec<_> = path.split('.').filter(|step| !step.is_empty()).collect();
            assert_eq!(pointer, steps.iter().flat_map(|step| ["/", step]).collect::<String>());
            assert_eq!(prefix, steps.iter().flat_map(|step| [*step, "."]).collect::<String>());
        }
    }

    #[test]
    fn the_pod_of_every_kind_is_read_where_it_stands() {
        let pod = json!({ "metadata": { "labels": { "a": "b" } }, "spec": { "hostPID": true, "containers": [] } });
        let cron_job = json!({ "spec": { "jobTemplate": { "spec": { "template": pod } } } });
        for (workload, object) in [
            (Workload::Pod, pod.clone()),
            (Workload::PodTemplate, json!({ "template": pod })),
            (Workload::ReplicationController, json!({ "spec": { "template": pod } })),
            (Workload::ReplicaSet, json!({ "spec": { "template": pod } })),
            (Workload::Deployment, json!({ "spec": { "template": pod } })),
            (Workload::StatefulSet, json!({ "spec": { "template": pod } })),
            (Workload::DaemonSet, json!({ "spec": { "template": pod } })),
            (Workload::Job, json!({ "spec": { "template": pod } })),
            (Workload::CronJob, cron_job),
        ] {
            let template = workload.template(&object).unwrap().expect("a template");
            assert_eq!(template.spec.unwrap().host_pid, Some(true), "{workload:?}");
            assert_eq!(template.metadata.unwrap().labels, Some([("a".to_owned(), "b".to_owned())].into()));
        }
    }

    #[test]
    fn an_object_without_a_template_has_none_and_a_bad_one_is_an_error() {
        for object in [json!({}), json!({ "spec": {} }), json!({ "spec": { "template": null } })] {
            assert_eq!(Workload::ReplicationController.template(&object).unwrap(), None, "{object}");
        }
        let bad = json!({ "spec": { "template": { "spec": { "hostPID": "yes" } } } });
        assert!(Workload::Deployment.template(&bad).is_err());
    }
}
