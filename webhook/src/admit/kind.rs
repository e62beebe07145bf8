//! The kinds that the rules know.

use tentacular_contract::Workload;

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind {
    group: &'static str,
    name: &'static str,
    /// The resource in an API path.
    plural: &'static str,
    label: &'static str,
}

macro_rules! kinds {
    ($($name:ident = $group:literal $kind:literal $plural:literal $label:literal;)*) => {
        impl Kind {
            $(pub(super) const $name: Self = Self { group: $group, name: $kind, plural: $plural, label: $label };)*

            pub(super) const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

kinds! {
    NAMESPACE = "" "Namespace" "namespaces" "namespace";
    POD = "" "Pod" "pods" "pod";
    SERVICE = "" "Service" "services" "service";
    ENDPOINTS = "" "Endpoints" "endpoints" "endpoints";
    CONFIG_MAP = "" "ConfigMap" "configmaps" "configmap";
    SECRET = "" "Secret" "secrets" "secret";
    CLAIM = "" "PersistentVolumeClaim" "persistentvolumeclaims" "persistentvolumeclaim";
    REPLICATION_CONTROLLER = "" "ReplicationController" "replicationcontrollers" "replicationcontroller";
    POD_TEMPLATE = "" "PodTemplate" "podtemplates" "podtemplate";
    SERVICE_ACCOUNT = "" "ServiceAccount" "serviceaccounts" "serviceaccount";
    RESOURCE_QUOTA = "" "ResourceQuota" "resourcequotas" "resourcequota";
    LIMIT_RANGE = "" "LimitRange" "limitranges" "limitrange";
    DEPLOYMENT = "apps" "Deployment" "deployments" "deployment";
    REPLICA_SET = "apps" "ReplicaSet" "replicasets" "replicaset";
    STATEFUL_SET = "apps" "StatefulSet" "statefulsets" "statefulset";
    DAEMON_SET = "apps" "DaemonSet" "daemonsets" "daemonset";
    CONTROLLER_REVISION = "apps" "ControllerRevision" "controllerrevisions" "controllerrevision";
    JOB = "batch" "Job" "jobs" "job";
    CRON_JOB = "batch" "CronJob" "cronjobs" "cronjob";
    ENDPOINT_SLICE = "discovery.k8s.io" "EndpointSlice" "endpointslices" "endpointslice";
    NETWORK_POLICY = "networking.k8s.io" "NetworkPolicy" "networkpolicies" "networkpolicy";
    INGRESS = "networking.k8s.io" "Ingress" "ingresses" "ingress";
    POD_AUTOSCALER = "autoscaling" "HorizontalPodAutoscaler" "horizontalpodautoscalers" "horizontalpodautoscaler";
    ROLE_BINDING = "rbac.authorization.k8s.io" "RoleBinding" "rolebindings" "rolebinding";
}

impl Kind {
    /// Every other kind: only rules about all objects hold for it.
    pub const OTHER: Self = Self { group: "", name: "object", plural: "", label: "other" };

    /// The kind of that API group and name.
    pub fn of(group: &str, kind: &str) -> Self {
        Self::ALL.iter().copied().find(|known| (known.group, known.name) == (group, kind)).unwrap_or(Self::OTHER)
    }

    /// The kind of the objects of a resource, such as `deployments` of group `apps`.
    pub fn of_resource(group: &str, plural: &str) -> Self {
        Self::ALL.iter().copied().find(|known| (known.group, known.plural) == (group, plural)).unwrap_or(Self::OTHER)
    }

    /// How Kubernetes calls it.
    pub const fn as_str(self) -> &'static str {
        self.name
    }

    /// How metrics and logs call it: one of some twenty words.
    pub const fn label(self) -> &'static str {
        self.label
    }

    /// Whether it is a namespace.
    pub(crate) fn is_namespace(self) -> bool {
        self == Self::NAMESPACE
    }

    /// What makes pods, or is one.
    pub(super) fn workload(self) -> Option<Workload> {
        Workload::of(self.group, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_known_by_group_and_name() {
        assert_eq!(Kind::of("", "Namespace"), Kind::NAMESPACE);
        assert_eq!(Kind::of("apps", "Deployment"), Kind::DEPLOYMENT);
        assert_eq!(Kind::of_resource("apps", "replicasets"), Kind::REPLICA_SET);
        for (group, kind) in [("apps", "Namespace"), ("", "Deployment"), ("example.com", "Deployment")] {
            assert_eq!(Kind::of(group, kind), Kind::OTHER, "{group}/{kind}");
        }
    }

    #[test]
    fn every_workload_is_known() {
        for workload in Workload::ALL {
            assert_eq!(Kind::of(workload.group(), workload.kind()).workload(), Some(workload));
        }
    }
}
