//! The cluster itself.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use serde_json::json;
use tentacular_test_harness::{Cluster, eventually};

use crate::support::is_ready;

#[tokio::test]
#[ignore = "needs real nodes: make e2e-node"]
async fn node_every_worker_runs_pods() -> anyhow::Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = cluster.control_plane().namespace("pods").await?;
    let pods = Api::<Pod>::namespaced(cluster.control_plane().admin()?, &namespace);
    for worker in cluster.workers() {
        let spec = json!({
            "nodeName": worker.name(),
            "containers": [{ "name": "pause", "image": "localhost/pause:1" }],
        });
        let pod = serde_json::from_value(json!({ "metadata": { "name": worker.name() }, "spec": spec }))?;
        pods.create(&PostParams::default(), &pod).await?;
        eventually(&pods, worker.name(), |pod: Option<&Pod>| pod.is_some_and(is_ready)).await?;
    }
    Ok(())
}
