//! An enclave to apply to, and the administrator's look at what stands in it.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{
    api::apps::v1::{Deployment, ReplicaSet},
    jiff::Timestamp,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
};
use serde_json::{Value, from_value, json};
use tentacular_test_harness::{
    FaultProxy, Installation, Part, Shared, Stack, eventually,
    fault_proxy::Call,
    mcp::{Era, Mcp},
    stack::Options,
};

use crate::support::{person, provider, unique, until_listed};

/// Every kind that a tentacle has or causes.
const KINDS: [&str; 11] = [
    "ConfigMap",
    "Secret",
    "Service",
    "PersistentVolumeClaim",
    "NetworkPolicy",
    "Deployment",
    "ReplicaSet",
    "Job",
    "CronJob",
    "Lease",
    "LimitRange",
];
/// Those of them that controllers write to at any time.
const RESTLESS: [&str; 4] = ["PersistentVolumeClaim", "Deployment", "ReplicaSet", "Job"];

/// A kernel that takes tokens of people, and a registrar whose requests are recorded.
pub(super) struct Ground {
    pub(super) stack: Stack,
    proxy: Arc<FaultProxy>,
}

/// The one that all these tests share.
pub(super) async fn ground() -> anyhow::Result<&'static Ground> {
    static SHARED: Shared<Ground> = Shared::empty();
    let start = || async {
        let installation = Installation::start().await?;
        let proxy = Arc::new(FaultProxy::start(installation.control_plane())?);
        let options = Options {
            without: vec![Part::Scheduler, Part::Auditor],
            kernel_args: provider()?.kernel_args(),
            through: BTreeMap::from([(Part::Registrar, Arc::clone(&proxy))]),
            ..Options::default()
        };
        let stack = Stack::start_with(installation, options).await?;
        until_listed(&stack, "wf_apply", true).await?;
        anyhow::Ok(Ground { stack, proxy })
    };
    SHARED.get(start).await
}

/// An enclave of ann, with bob as a member.
pub(super) struct Place {
    /// Whoever has the bearer token.
    pub(super) bearer: Mcp,
    pub(super) enclave: String,
    pub(super) admin: Client,
    ground: &'static Ground,
}

/// What stands in an enclave: what nobody but the one who writes an object changes of it, by kind and name.
pub(super) type Snapshot = BTreeMap<String, Value>;

impl Place {
    pub(super) async fn new(prefix: &str) -> anyhow::Result<Self> {
        let ground = ground().await?;
        let bearer = ground.stack.client(Era::Stateless).await?;
        let enclave = unique(prefix);
        let owner = json!({ "name": enclave, "owner_email": "ann@example.com", "members": ["bob@example.com"] });
        bearer.call("enclave_provision", owner).await?;
        let admin = ground.stack.installation().control_plane().admin()?;
        Ok(Self { bearer, enclave, admin, ground })
    }

    /// A client of a person.
    pub(super) async fn person(&self, name: &str) -> anyhow::Result<Mcp> {
        let stack = &self.ground.stack;
        person(stack, name).await?;
        let claims = provider()?.claims(name, &format!("{name}@example.com"));
        stack.client_as(&provider()?.token(&claims), Era::Stateless).await
    }

    pub(super) fn arguments(&self, tentacle: &str, manifests: &[Value], more: &Value) -> Value {
        let mut arguments = json!({ "enclave": self.enclave, "name": tentacle, "manifests": manifests });
        arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        arguments
    }

    pub(super) async fn apply(&self, tentacle: &str, manifests: &[Value]) -> anyhow::Result<Value> {
        self.apply_with(tentacle, manifests, &json!({})).await
    }

    pub(super) async fn apply_with(
        &self,
        tentacle: &str,
        manifests: &[Value],
        more: &Value,
    ) -> anyhow::Result<Value> {
        self.bearer.call("wf_apply", self.arguments(tentacle, manifests, more)).await
    }

    /// An apply that must be refused, with nothing written.
    pub(super) async fn refusal(&self, tentacle: &str, manifests: &[Value], more: &Value) -> anyhow::Result<String> {
        let before = self.snapshot().await?;
        let refusal = self.bearer.refusal("wf_apply", self.arguments(tentacle, manifests, more)).await?;
        assert_eq!(self.snapshot().await?, before, "{refusal}");
        Ok(refusal)
    }

    pub(super) async fn remove(&self, tentacle: &str) -> anyhow::Result<Value> {
        self.bearer.call("wf_remove", json!({ "enclave": self.enclave, "name": tentacle })).await
    }

    pub(super) fn api(&self, kind: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.admin.clone(), &self.enclave, &resource(kind))
    }

    /// The same for somebody whom the webhook lets pass.
    fn past_the_webhook(&self, kind: &str) -> anyhow::Result<Api<DynamicObject>> {
        let control_plane = self.ground.stack.installation().control_plane();
        Ok(Api::namespaced_with(control_plane.controller()?, &self.enclave, &resource(kind)))
    }

    pub(super) async fn get(&self, kind: &str, name: &str) -> anyhow::Result<Option<DynamicObject>> {
        Ok(self.api(kind).get_opt(name).await?)
    }

    /// An object that must be there, as JSON.
    pub(super) async fn live(&self, kind: &str, name: &str) -> anyhow::Result<Value> {
        Ok(serde_json::to_value(self.api(kind).get(name).await?)?)
    }

    /// Creates an object around the server, as the field manager `by`. It may be as one is that is older than the webhook.
    pub(super) async fn create(&self, by: &str, manifest: Value) -> anyhow::Result<DynamicObject> {
        let kind = manifest["kind"].as_str().unwrap().to_owned();
        let by = PostParams { field_manager: Some(by.to_owned()), ..PostParams::default() };
        Ok(self.past_the_webhook(&kind)?.create(&by, &from_value(manifest)?).await?)
    }

    /// Changes an object around the server, as the field manager `by`.
    pub(super) async fn patch(&self, by: &str, kind: &str, name: &str, patch: Value) -> anyhow::Result<()> {
        let by = PatchParams { field_manager: Some(by.to_owned()), ..PatchParams::default() };
        self.api(kind).patch(name, &by, &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// An annotation of the tentacle's Deployment.
    pub(super) async fn annotation(&self, tentacle: &str, key: &str) -> anyhow::Result<Option<String>> {
        let deployment = self.api("Deployment").get(tentacle).await?;
        Ok(deployment.annotations().get(&format!("tentacular.io/{key}")).cloned())
    }

    /// The checksum on the pods of a tentacle.
    pub(super) async fn checksum(&self, tentacle: &str) -> anyhow::Result<Option<String>> {
        let deployment = self.live("Deployment", tentacle).await?;
        let checksum = &deployment["spec"]["template"]["metadata"]["annotations"]["tentacular.io/config-checksum"];
        Ok(checksum.as_str().map(str::to_owned))
    }

    /// The names of the `ReplicaSet`s that the tentacle's Deployment made, once its pods are as it says.
    pub(super) async fn replica_sets(&self, tentacle: &str) -> anyhow::Result<Vec<String>> {
        let deployments = Api::<Deployment>::namespaced(self.admin.clone(), &self.enclave);
        let rolled_out = |deployment: Option<&Deployment>| {
            let status = deployment.and_then(|deployment| deployment.status.clone()).unwrap_or_default();
            let seen = status.observed_generation >= deployment.and_then(|deployment| deployment.metadata.generation);
            seen && [status.replicas, status.updated_replicas, status.available_replicas] == [Some(1); 3]
        };
        eventually(&deployments, tentacle, rolled_out).await?;
        let of_it = ListParams::default().labels(&format!("tentacular.io/release={tentacle}"));
        let sets = Api::<ReplicaSet>::namespaced(self.admin.clone(), &self.enclave).list(&of_it).await?;
        Ok(sets.into_iter().map(|set| set.name_any()).collect())
    }

    /// What stands in the enclave once the controller of Deployments has seen each of them as it is.
    pub(super) async fn snapshot(&self) -> anyhow::Result<Snapshot> {
        let deployments = Api::<Deployment>::namespaced(self.admin.clone(), &self.enclave);
        for deployment in deployments.list(&ListParams::default()).await? {
            let is_seen = |live: Option<&Deployment>| {
                live.is_none_or(|live| {
                    let seen = live.status.as_ref().and_then(|status| status.observed_generation);
                    seen >= live.metadata.generation
                })
            };
            eventually(&deployments, &deployment.name_any(), is_seen).await?;
        }
        let mut all = Snapshot::new();
        for kind in KINDS {
            for object in self.api(kind).list(&ListParams::default()).await? {
                all.insert(format!("{kind}/{}", object.name_any()), content(kind, object)?);
            }
        }
        // These come at some time: Kubernetes puts the one into each namespace, the scheduler writes ledgers of schedules.
        all.retain(|name, _| name != "ConfigMap/kube-root-ca.crt" && !name.starts_with("ConfigMap/tentacular-runs-"));
        Ok(all)
    }

    /// What the registrar asked of this enclave so far.
    pub(super) fn calls(&self) -> Vec<Call> {
        let calls = self.ground.proxy.calls();
        calls.into_iter().filter(|call| call.namespace() == Some(&self.enclave)).collect()
    }

    /// The writes that the registrar made in this enclave so far, other than those of locks.
    pub(super) fn writes(&self) -> Vec<String> {
        let calls = self.calls().into_iter();
        let writes = calls.filter(|call| call.is_write() && call.resource() != "leases");
        writes.map(|call| format!("{} {}", call.method, call.path)).collect()
    }
}

fn resource(kind: &str) -> ApiResource {
    let group = match kind {
        "Deployment" | "ReplicaSet" => "apps",
        "Job" | "CronJob" => "batch",
        "NetworkPolicy" => "networking.k8s.io",
        "Lease" => "coordination.k8s.io",
        _ => "",
    };
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind))
}

/// An object without what controllers report in it.
fn content(kind: &str, mut object: DynamicObject) -> anyhow::Result<Value> {
    if RESTLESS.contains(&kind) {
        object.metadata.resource_version = None;
        object.data.as_object_mut().unwrap().remove("status");
        if kind == "ReplicaSet" {
            object.data["spec"].as_object_mut().unwrap().remove("replicas");
        }
        let is_reported = |manager: Option<&String>| manager.is_some_and(|name| name == "kube-controller-manager");
        object.managed_fields_mut().retain(|entry| !is_reported(entry.manager.as_ref()));
        object.annotations_mut().remove("deployment.kubernetes.io/revision");
    }
    Ok(serde_json::to_value(object)?)
}

/// Who set fields of an object by which operation, apart from its status and scale.
pub(super) fn managers(object: &DynamicObject) -> Vec<String> {
    let entries = object.managed_fields().iter().filter(|entry| entry.subresource.is_none());
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let mut all: Vec<_> =
        entries.map(|entry| format!("{}/{}", text(&entry.manager), text(&entry.operation))).collect();
    all.retain(|entry| !entry.starts_with("kube-controller-manager/"));
    all.sort();
    all
}

/// The counts of an answer: created, updated, deleted, unchanged.
pub(super) fn counts(answer: &Value) -> [u64; 4] {
    ["created", "updated", "deleted", "unchanged"].map(|count| answer[count].as_u64().unwrap())
}

/// The objects of an answer that something happened to, as `Kind/name: action`.
pub(super) fn changed(answer: &Value) -> Vec<String> {
    let objects = answer["objects"].as_array().unwrap().iter().filter(|object| object["action"] != "unchanged");
    let text = |object: &Value, member: &str| object[member].as_str().unwrap().to_owned();
    objects
        .map(|object| format!("{}/{}: {}", text(object, "kind"), text(object, "name"), text(object, "action")))
        .collect()
}

/// A time that the server wrote.
pub(super) fn time(text: Option<String>) -> Timestamp {
    text.unwrap().parse().unwrap()
}
