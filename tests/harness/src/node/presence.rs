//! The node's own objects: the Node with its conditions, and its lease.

use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::{
    api::{coordination::v1::Lease, core::v1::Node},
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{NODE_NAME, kubelet};

/// As a kubelet's; the node counts as lost after 50 seconds without a sign of life.
const RENEWAL: Duration = Duration::from_secs(10);
/// The namespace of leases appears some time after the API server, and a missed renewal should be made up for soon.
const RETRY: Duration = Duration::from_secs(1);
/// An address for documentation (RFC 5737), as an endpoint must not be on loopback.
pub(super) const ADDRESS: &str = "192.0.2.1";

/// Creates the node, or takes it over, and reports it ready, with its kubelet on this port.
pub(super) async fn register(client: &Client, kubelet_port: u16) -> anyhow::Result<Presence> {
    let nodes = Api::<Node>::all(client.clone());
    let node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": NODE_NAME, "labels": {
            "kubernetes.io/hostname": NODE_NAME,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
        }},
    });
    nodes.patch(NODE_NAME, &ours(), &Patch::Apply(node)).await.context("the node was refused")?;
    let version = client.apiserver_version().await?.git_version;
    let presence = Presence { client: client.clone(), version, since: now(), kubelet_port };
    presence.report().await.context("the node's status was refused")?;
    Ok(presence)
}

/// A registered node.
pub(super) struct Presence {
    client: Client,
    version: String,
    since: String,
    kubelet_port: u16,
}

impl Presence {
    /// Renews the lease and the status as long as the task lives; errors pass with the next round.
    pub(super) async fn heartbeat(self) {
        let leases = Api::<Lease>::namespaced(self.client.clone(), "kube-node-lease");
        loop {
            let renewed = leases.patch(NODE_NAME, &ours(), &Patch::Apply(lease())).await;
            let reported = self.report().await;
            let well = renewed.is_ok() && reported.is_ok();
            tokio::time::sleep(if well { RENEWAL } else { RETRY }).await;
        }
    }

    async fn report(&self) -> kube::Result<()> {
        let nodes = Api::<Node>::all(self.client.clone());
        nodes.patch_status(NODE_NAME, &ours(), &Patch::Apply(self.status())).await.map(drop)
    }

    fn status(&self) -> Value {
        let now = now();
        let condition = |kind: &str, status: &str, reason: &str| {
            json!({ "type": kind, "status": status, "reason": reason,
                "lastTransitionTime": self.since, "lastHeartbeatTime": now })
        };
        let resources = json!({ "cpu": "64", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "1000" });
        json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": { "name": NODE_NAME },
            "status": {
                "capacity": resources,
                "allocatable": resources,
                "addresses": [
                    { "type": "InternalIP", "address": ADDRESS },
                    { "type": "Hostname", "address": NODE_NAME },
                    { "type": "ExternalIP", "address": kubelet::ADDRESS },
                ],
                "daemonEndpoints": { "kubeletEndpoint": { "Port": self.kubelet_port } },
                "conditions": [
                    condition("Ready", "True", "KubeletReady"),
                    condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
                    condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
                    condition("PIDPressure", "False", "KubeletHasSufficientPID"),
                ],
                "nodeInfo": {
                    "kubeletVersion": self.version,
                    "kubeProxyVersion": "",
                    "operatingSystem": "linux",
                    "architecture": "amd64",
                    "osImage": "test harness",
                    "kernelVersion": "none",
                    "containerRuntimeVersion": "harness://1",
                    "bootID": "", "machineID": "", "systemUUID": "",
                },
            },
        })
    }
}

fn now() -> String {
    format!("{:.0}", Timestamp::now())
}

fn ours() -> PatchParams {
    PatchParams::apply(NODE_NAME).force()
}

fn lease() -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": { "name": NODE_NAME },
        "spec": {
            "holderIdentity": NODE_NAME,
            "leaseDurationSeconds": 40,
            "renewTime": format!("{:.6}", Timestamp::now()),
        },
    })
}
