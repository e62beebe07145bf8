//! What happens to the pods: bound, reported, deleted.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures::StreamExt as _;
use k8s_openapi::{
    api::core::v1::{Binding, ObjectReference, Pod, PodStatus},
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::Timestamp,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions},
    core::Status,
    runtime::{Controller, controller::Action, watcher},
};
use serde_json::json;

use super::{NODE_NAME, report::report};

/// Soon enough for a test that waits, and slow enough for a server that is just starting.
const RETRY: Duration = Duration::from_millis(500);
/// The network of the pods: nobody is there, but an endpoint needs an address of its own.
const NETWORK: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 0);

struct Tender {
    client: Client,
    addresses: AtomicU32,
}

/// Tends all pods of the cluster as long as the task lives. Failed watches are begun again, failed steps repeated.
pub(super) async fn tend(client: Client) {
    let tender = Tender { client: client.clone(), addresses: AtomicU32::new(1) };
    Controller::new(Api::<Pod>::all(client), watcher::Config::default())
        .run(step, |_, _, _| Action::requeue(RETRY), Arc::new(tender))
        .for_each(|_| async {})
        .await;
}

/// One step of a pod towards its end; the event that the step causes brings the next.
async fn step(pod: Arc<Pod>, tender: Arc<Tender>) -> kube::Result<Action> {
    let pods = Api::<Pod>::namespaced(tender.client.clone(), &pod.namespace().unwrap_or_default());
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    let done = match node {
        None if is_gated(&pod) || pod.metadata.deletion_timestamp.is_some() => Ok(()),
        None => bind(&pods, &pod).await,
        Some(NODE_NAME) if pod.metadata.deletion_timestamp.is_some() => finish(&pods, &pod).await,
        Some(NODE_NAME) => match report(&pod, &tender.address(), &now()) {
            Some(status) => publish(&pods, &pod, &status).await,
            None => Ok(()),
        },
        Some(_) => Ok(()),
    };
    match done {
        // Gone or changed in the meantime: an event about that is on its way.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(Action::await_change()),
        done => done.map(|()| Action::await_change()),
    }
}

impl Tender {
    /// An address that no other pod has. It is lost when the pod has one already, and there are 65 thousand.
    fn address(&self) -> String {
        let host = self.addresses.fetch_add(1, Ordering::Relaxed) & 0xffff;
        Ipv4Addr::from_bits(NETWORK.to_bits() | host).to_string()
    }
}

/// To the second, as the API keeps times.
fn now() -> Time {
    let now = Timestamp::now();
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

fn is_gated(pod: &Pod) -> bool {
    let gates = pod.spec.as_ref().and_then(|spec| spec.scheduling_gates.as_ref());
    gates.is_some_and(|gates| !gates.is_empty())
}

/// As the scheduler does. The server also sets the condition `PodScheduled`.
async fn bind(pods: &Api<Pod>, pod: &Pod) -> kube::Result<()> {
    let binding = Binding {
        metadata: ObjectMeta {
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            ..ObjectMeta::default()
        },
        target: ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Node".into()),
            name: Some(NODE_NAME.into()),
            ..ObjectReference::default()
        },
    };
    pods.create_subresource::<Binding, Status>("binding", &pod.name_any(), &PostParams::default(), &binding)
        .await
        .map(drop)
}

/// Only over the version that was looked at, so that no condition by another hand is lost.
async fn publish(pods: &Api<Pod>, pod: &Pod, status: &PodStatus) -> kube::Result<()> {
    let patch = json!({ "metadata": { "resourceVersion": pod.metadata.resource_version }, "status": status });
    pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
}

/// Confirms that the containers are gone. A pod that stays after that is held by a finalizer.
async fn finish(pods: &Api<Pod>, pod: &Pod) -> kube::Result<()> {
    if pod.metadata.deletion_grace_period_seconds == Some(0) {
        return Ok(());
    }
    let at_once = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(Preconditions { uid: pod.metadata.uid.clone(), resource_version: None }),
        ..DeleteParams::default()
    };
    pods.delete(&pod.name_any(), &at_once).await.map(drop)
}
