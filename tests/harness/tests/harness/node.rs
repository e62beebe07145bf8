//! The node does for pods what a kubelet would, so that controllers see their work done.

use std::{pin::pin, time::Duration};

use futures::StreamExt as _;
use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::Job,
    coordination::v1::Lease,
    core::v1::{Node, Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, Patch, PatchParams, PostParams},
    runtime::{
        WatchStreamExt as _,
        wait::conditions::{is_job_completed, is_pod_running},
        watcher,
    },
};
use serde_json::{Value, from_value, json};
use tentacular_test_harness::{
    ControlPlane, eventually,
    node::{IMAGE_PULL, NODE_NAME, READY, UNREADY},
};

#[tokio::test]
async fn a_deployment_becomes_available_and_scales_down() {
    let control_plane = ControlPlane::shared().await.unwrap();
    let namespace = control_plane.namespace("deployment").await.unwrap();
    let client = control_plane.admin().unwrap();
    let deployments = Api::<Deployment>::namespaced(client.clone(), &namespace);
    let deployment = from_value(json!({
        "metadata": { "name": "web" },
        "spec": {
            "replicas": 3,
            "selector": { "matchLabels": { "app": "web" } },
            "template": { "metadata": { "labels": { "app": "web" } }, "spec": containers() },
        },
    }));
    deployments.create(&PostParams::default(), &deployment.unwrap()).await.unwrap();
    eventually(&deployments, "web", available(3)).await.unwrap();

    let none = json!({ "spec": { "replicas": 0 } });
    deployments.patch_scale("web", &PatchParams::default(), &Patch::Merge(none)).await.unwrap();
    eventually(&deployments, "web", available(0)).await.unwrap();
    let pods = Api::<Pod>::namespaced(client, &namespace);
    for pod in pods.list(&ListParams::default()).await.unwrap() {
        eventually(&pods, &pod.name_any(), |pod: Option<&Pod>| pod.is_none()).await.unwrap();
    }
}

#[tokio::test]
async fn a_service_gets_an_endpoint_for_a_ready_pod() {
    let (pods, namespace) = pods("endpoints").await;
    let client = pods.clone().into_client();
    let service = json!({
        "metadata": { "name": "web" },
        "spec": { "selector": { "app": "web" }, "ports": [{ "port": 80 }] },
    });
    Api::<Service>::namespaced(client.clone(), &namespace)
        .create(&PostParams::default(), &from_value(service).unwrap())
        .await
        .unwrap();
    create(&pods, json!({ "name": "web", "labels": { "app": "web" } }), containers()).await;
    let pod = eventually(&pods, "web", is_ready).await.unwrap().unwrap();
    let address = pod.status.unwrap().pod_ip.unwrap();

    let slices = Api::<EndpointSlice>::namespaced(client, &namespace);
    let of_service = watcher::Config::default().labels("kubernetes.io/service-name=web");
    let mut with_it = pin!(watcher(slices, of_service).applied_objects().filter(|slice| {
        let endpoints = slice.as_ref().map_or(&[][..], |slice| &slice.endpoints);
        std::future::ready(endpoints.iter().any(|endpoint| endpoint.addresses.contains(&address)))
    }));
    tokio::time::timeout(Duration::from_mins(1), with_it.next()).await.unwrap();
}

#[tokio::test]
async fn an_unready_pod_stays_unready_until_its_annotation_goes() {
    let (pods, _) = pods("unready").await;
    create(&pods, json!({ "name": "held", "annotations": { READY: UNREADY } }), containers()).await;
    eventually(&pods, "held", is_pod_running()).await.unwrap();
    // The node is at work all the while, as another pod shows.
    create(&pods, json!({ "name": "other" }), containers()).await;
    eventually(&pods, "other", is_ready).await.unwrap();
    let held = pods.get("held").await.unwrap();
    assert!(is_pod_running_now(&held) && !is_ready(Some(&held)), "{:?}", held.status);

    let let_go = json!({ "metadata": { "annotations": { READY: null } } });
    pods.patch("held", &PatchParams::default(), &Patch::Merge(let_go)).await.unwrap();
    eventually(&pods, "held", is_ready).await.unwrap();
}

#[tokio::test]
async fn a_pod_without_its_image_stays_pending() {
    let (pods, _) = pods("image-pull").await;
    create(&pods, json!({ "name": "pulling", "annotations": { READY: IMAGE_PULL } }), containers()).await;
    let backs_off = |pod: Option<&Pod>| reasons(pod).contains(&"ImagePullBackOff".to_owned());
    let pod = eventually(&pods, "pulling", backs_off).await.unwrap().unwrap();
    assert_eq!(pod.status.unwrap().phase.as_deref(), Some("Pending"));
}

#[tokio::test]
async fn a_job_completes() {
    let control_plane = ControlPlane::shared().await.unwrap();
    let namespace = control_plane.namespace("job").await.unwrap();
    let jobs = Api::<Job>::namespaced(control_plane.admin().unwrap(), &namespace);
    let mut template = containers();
    template["restartPolicy"] = "Never".into();
    let job = json!({ "metadata": { "name": "once" }, "spec": { "template": { "spec": template } } });
    jobs.create(&PostParams::default(), &from_value(job).unwrap()).await.unwrap();
    eventually(&jobs, "once", is_job_completed()).await.unwrap();
}

#[tokio::test]
async fn a_gated_pod_is_not_bound() {
    let (pods, _) = pods("gated").await;
    let mut gated = containers();
    gated["schedulingGates"] = json!([{ "name": "example.com/wait" }]);
    create(&pods, json!({ "name": "gated" }), gated).await;
    create(&pods, json!({ "name": "other" }), containers()).await;
    eventually(&pods, "other", is_ready).await.unwrap();
    assert_eq!(pods.get("gated").await.unwrap().spec.unwrap().node_name, None);

    let open = json!({ "spec": { "schedulingGates": [] } });
    pods.patch("gated", &PatchParams::default(), &Patch::Merge(open)).await.unwrap();
    eventually(&pods, "gated", is_ready).await.unwrap();
}

#[tokio::test]
async fn the_node_has_no_taint_and_holds_its_lease() {
    let control_plane = ControlPlane::shared().await.unwrap();
    let nodes = Api::<Node>::all(control_plane.admin().unwrap());
    // New nodes are tainted until the node lifecycle controller believes that they are ready.
    let untainted = |node: Option<&Node>| {
        let spec = node.and_then(|node| node.spec.as_ref());
        spec.is_some_and(|spec| spec.taints.as_ref().is_none_or(Vec::is_empty))
    };
    eventually(&nodes, NODE_NAME, untainted).await.unwrap();

    let leases = Api::<Lease>::namespaced(nodes.into_client(), "kube-node-lease");
    let held = |lease: Option<&Lease>| {
        let spec = lease.and_then(|lease| lease.spec.as_ref());
        spec.is_some_and(|spec| spec.holder_identity.as_deref() == Some(NODE_NAME) && spec.renew_time.is_some())
    };
    eventually(&leases, NODE_NAME, held).await.unwrap();
}

async fn pods(prefix: &str) -> (Api<Pod>, String) {
    let control_plane = ControlPlane::shared().await.unwrap();
    let namespace = control_plane.namespace(prefix).await.unwrap();
    (Api::namespaced(control_plane.admin().unwrap(), &namespace), namespace)
}

fn containers() -> Value {
    json!({
        "containers": [{ "name": "main", "image": "example.com/web:1" }],
        "initContainers": [{ "name": "before", "image": "example.com/before:1" }],
    })
}

async fn create(pods: &Api<Pod>, metadata: Value, spec: Value) {
    let pod = from_value(json!({ "metadata": metadata, "spec": spec })).unwrap();
    pods.create(&PostParams::default(), &pod).await.unwrap();
}

fn available(count: i32) -> impl Fn(Option<&Deployment>) -> bool {
    move |deployment| {
        let status = deployment.and_then(|deployment| deployment.status.as_ref());
        status.is_some_and(|status| {
            status.available_replicas.unwrap_or(0) == count && status.replicas.unwrap_or(0) == count
        })
    }
}

fn is_ready(pod: Option<&Pod>) -> bool {
    let conditions = pod.and_then(|pod| pod.status.as_ref()?.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn is_pod_running_now(pod: &Pod) -> bool {
    pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Running"))
}

fn reasons(pod: Option<&Pod>) -> Vec<String> {
    let statuses = pod.and_then(|pod| pod.status.as_ref()?.container_statuses.as_ref());
    let states = statuses.into_iter().flatten().filter_map(|status| status.state.as_ref()?.waiting.as_ref());
    states.filter_map(|waiting| waiting.reason.clone()).collect()
}
