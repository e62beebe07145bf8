//! A node that runs nothing: it takes pods and reports what a kubelet would, as no container runtime is here.

mod kubelet;
mod logs;
mod pods;
mod presence;
mod report;

use kube::Client;
use tokio::task::JoinSet;

use self::kubelet::Kubelet;
pub use self::logs::ContainerLogs;

/// The name of the node.
pub const NODE_NAME: &str = "harness-node";
/// The annotation by which a pod asks for another fate than to run and be ready.
pub const READY: &str = "harness.tentacular.io/ready";
/// The value of [`READY`] for a pod that runs and is not ready.
pub const UNREADY: &str = "false";
/// The value of [`READY`] for a pod whose images cannot be had: it stays pending.
pub const IMAGE_PULL: &str = "image-pull";

/// The node's presence in a cluster, as background tasks that end on drop:
///
/// - the node is ready and renews its lease, so that the node lifecycle controller leaves it alone;
/// - a pod without a node is bound to it, unless it has scheduling gates;
/// - a bound pod runs and is ready at once, a pod of a Job succeeds, and [`READY`] changes that;
/// - a pod that is being deleted goes at once;
/// - the API server gets the logs that a test wrote ([`Node::logs`]).
///
/// Selectors, taints and resources are not looked at, and probes are not run.
#[derive(Debug)]
pub struct Node {
    _tasks: JoinSet<()>,
    logs: ContainerLogs,
}

impl Node {
    /// Registers the node and starts its tasks on the current runtime. Fails when the API server refuses the node.
    pub async fn join(client: Client) -> anyhow::Result<Self> {
        let logs = ContainerLogs::default();
        let kubelet = Kubelet::bind(logs.clone()).await?;
        let presence = presence::register(&client, kubelet.port()?).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(kubelet.serve());
        tasks.spawn(presence.heartbeat());
        tasks.spawn(pods::tend(client));
        Ok(Self { _tasks: tasks, logs })
    }

    /// What its containers wrote.
    pub const fn logs(&self) -> &ContainerLogs {
        &self.logs
    }
}
