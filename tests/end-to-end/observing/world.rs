//! An enclave with a tentacle that its member may read, and one that is the owner's alone.

use anyhow::{Context as _, ensure};
use k8s_openapi::{NamespaceResourceScope, api::core::v1::Pod};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, from_value, json};
use tentacular_test_harness::{mcp::Mcp, node::ContainerLogs, until};

use crate::enclaves::world::{Team, soon, stacks};

/// Readable by the enclave's members.
pub(super) const OPEN: &str = "open";
/// Readable by its owner alone.
pub(super) const HIDDEN: &str = "hidden";

pub(super) struct World {
    pub(super) team: Team,
    pub(super) admin: Client,
}

impl World {
    /// The enclave without tentacles.
    pub(super) async fn empty(prefix: &str) -> anyhow::Result<Self> {
        let team = Team::new(prefix).await?;
        let admin = stacks().await?[0].installation().control_plane().admin()?;
        Ok(Self { team, admin })
    }

    /// With both tentacles, whose pods run.
    pub(super) async fn new(prefix: &str) -> anyhow::Result<Self> {
        let world = Self::empty(prefix).await?;
        for (name, mode) in [(OPEN, "member-read"), (HIDDEN, "private")] {
            world.apply(name, mode, &[deployment(name)]).await?;
            world.pod(name).await?;
        }
        Ok(world)
    }

    pub(super) fn owner(&self) -> &Mcp {
        &self.team.owner.here
    }

    pub(super) fn member(&self) -> &Mcp {
        &self.team.member.here
    }

    /// Applies a tentacle as the owner.
    pub(super) async fn apply(&self, name: &str, mode: &str, manifests: &[Value]) -> anyhow::Result<Value> {
        let arguments = json!({ "enclave": self.team.enclave, "name": name, "mode": mode, "manifests": manifests });
        soon(self.owner(), "wf_apply", arguments).await
    }

    /// Calls a tool in the enclave.
    pub(super) async fn ask(&self, mcp: &Mcp, tool: &str, arguments: Value) -> anyhow::Result<Value> {
        soon(mcp, tool, self.with(arguments)).await
    }

    /// Calls a tool in the enclave that must refuse.
    pub(super) async fn refusal(&self, mcp: &Mcp, tool: &str, arguments: Value) -> anyhow::Result<String> {
        mcp.refusal(tool, self.with(arguments)).await
    }

    /// Asks until the answer is so.
    pub(super) async fn until(
        &self,
        mcp: &Mcp,
        tool: &str,
        arguments: Value,
        is_so: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        until(format!("{tool} answers what is wanted"), async || {
            let answer = self.ask(mcp, tool, arguments.clone()).await?;
            ensure!(is_so(&answer), "{answer}");
            Ok(answer)
        })
        .await
    }

    fn with(&self, mut arguments: Value) -> Value {
        arguments["enclave"] = json!(self.team.enclave);
        arguments
    }

    pub(super) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.admin.clone(), &self.team.enclave)
    }

    /// Creates an object around the server.
    pub(super) async fn create<K>(&self, object: Value) -> anyhow::Result<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + Serialize
            + DeserializeOwned,
    {
        Ok(self.api::<K>().create(&PostParams::default(), &from_value(object)?).await?)
    }

    /// Sets the status of a pod around the server.
    pub(super) async fn set_status(&self, pod: &str, status: Value) -> anyhow::Result<()> {
        let patch = Patch::Merge(json!({ "status": status }));
        self.api::<Pod>().patch_status(pod, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// The name of the tentacle's pod, once it is there and its node has looked at it, if any is to.
    pub(super) async fn pod(&self, tentacle: &str) -> anyhow::Result<String> {
        let of_it = ListParams::default().labels(&format!("tentacular.io/release={tentacle}"));
        let is_settled = |pod: &Pod| {
            let gated = pod.spec.as_ref().is_some_and(|spec| spec.scheduling_gates.is_some());
            gated || pod.status.as_ref().is_some_and(|status| status.container_statuses.is_some())
        };
        until(format!("{tentacle} has a pod"), async || {
            let pod = self.api::<Pod>().list(&of_it).await?.into_iter().find(is_settled);
            Ok(pod.context("there is none")?.name_any())
        })
        .await
    }
}

/// What the containers on the node wrote.
pub(super) async fn container_logs() -> anyhow::Result<&'static ContainerLogs> {
    stacks().await?[0].installation().control_plane().container_logs()
}

/// A Deployment of two containers.
pub(super) fn deployment(tentacle: &str) -> Value {
    let labels = json!({ "app.kubernetes.io/name": tentacle });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": tentacle },
        "spec": { "selector": { "matchLabels": labels }, "template": { "metadata": { "labels": labels }, "spec": {
            "containers": [
                { "name": "engine", "image": "localhost/engine:1" }, { "name": "thumbs", "image": "localhost/thumbs:1" },
            ],
        } } },
    })
}

/// The same with something to be different in its pods.
pub(super) fn with_pods(tentacle: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut deployment = deployment(tentacle);
    change(&mut deployment["spec"]["template"]);
    deployment
}

/// What may run in an enclave, for objects that do not come through the server.
pub(super) fn restricted(containers: &[&str]) -> Value {
    let security = json!({ "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } });
    let containers: Vec<_> = containers
        .iter()
        .map(|name| json!({ "name": name, "image": "localhost/it:1", "securityContext": security }))
        .collect();
    let security = json!({ "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } });
    json!({ "automountServiceAccountToken": false, "securityContext": security, "containers": containers })
}

/// A member of each of a list's entries.
pub(super) fn each<'a>(list: &'a Value, member: &str) -> Vec<&'a str> {
    list.as_array().unwrap().iter().map(|entry| entry[member].as_str().unwrap_or("-")).collect()
}

pub(super) fn lines(answer: &Value) -> Vec<&str> {
    answer["lines"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect()
}
