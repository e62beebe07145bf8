//! An API server that refuses writes in one enclave, by an admission policy of the test's.

use k8s_openapi::api::{
    admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding},
    core::v1::{LimitRange, Namespace},
};
use serde_json::{Value, json};
use tentacular_cluster::Delete;

use crate::world::{World, until};

/// A policy in force, and the namespace in which a test can tell that it is.
pub(crate) struct Refusal {
    name: String,
    probe: String,
}

impl Refusal {
    /// Has the requests of these rules refused in `enclave`, which need not be there, with this sentence.
    pub(crate) async fn of(world: &World, enclave: &str, mut rules: Vec<Value>, message: &str) -> Self {
        let (name, probe) = (enclave.to_owned(), format!("{enclave}-probe"));
        rules.push(rule("", "limitranges", "CREATE"));
        let here = format!("request.namespace in ['{enclave}', '{probe}']");
        let policy: ValidatingAdmissionPolicy = serde_json::from_value(json!({
            "metadata": { "name": name },
            "spec": {
                "matchConstraints": { "resourceRules": rules },
                "matchConditions": [{ "name": "here", "expression": here }],
                "validations": [{ "expression": "false", "message": message }],
            },
        }))
        .unwrap();
        let binding: ValidatingAdmissionPolicyBinding = serde_json::from_value(json!({
            "metadata": { "name": name },
            "spec": { "policyName": name, "validationActions": ["Deny"] },
        }))
        .unwrap();
        world.admin.all::<ValidatingAdmissionPolicy>().create(&policy).await.unwrap();
        world.admin.all::<ValidatingAdmissionPolicyBinding>().create(&binding).await.unwrap();
        let namespace: Namespace = serde_json::from_value(json!({ "metadata": { "name": probe } })).unwrap();
        world.admin.all::<Namespace>().create(&namespace).await.unwrap();
        let refusal = Self { name, probe };
        refusal.wait_until(world, true).await;
        refusal
    }

    /// Has them accepted again.
    pub(crate) async fn lift(self, world: &World) {
        let bindings = world.admin.all::<ValidatingAdmissionPolicyBinding>();
        bindings.delete(&self.name, &Delete::default()).await.unwrap();
        self.wait_until(world, false).await;
    }

    async fn wait_until(&self, world: &World, refused: bool) {
        let limits = json!({ "metadata": { "name": "probe" }, "spec": { "limits": [] } });
        let limits: LimitRange = serde_json::from_value(limits).unwrap();
        let ranges = world.admin.namespaced::<LimitRange>(&self.probe).dry_run(true);
        let so = async || (ranges.create(&limits).await.is_err() == refused).then_some(());
        until("the policy comes into force, or goes", so).await;
    }
}

/// What a policy refuses: an operation on a resource of a group.
pub(crate) fn rule(group: &str, resource: &str, operation: &str) -> Value {
    json!({ "apiGroups": [group], "apiVersions": ["v1"], "operations": [operation], "resources": [resource] })
}
