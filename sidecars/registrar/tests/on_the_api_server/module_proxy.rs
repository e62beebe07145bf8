//! The module proxy is kept as the settings want it.

use anyhow::ensure;
use http::Method;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Pod};
use serde_json::{Value, json};
use tentacular_cluster::{Cluster, Kind, Object, Selector};
use tentacular_contract::{
    Caller,
    module_proxy::{CLAIM, ModuleProxy, NAME, drift},
};
use tentacular_test_harness::{
    ControlPlane, FaultProxy,
    fault_proxy::{Call, Fault},
    installation,
};

use crate::world::{World, unique};

const IMAGE: &str = "esm.example/esm:1";

fn settings(namespace: &str, storage_size: Option<&str>) -> ModuleProxy {
    let storage_size = storage_size.map(str::to_owned);
    ModuleProxy { namespace: namespace.to_owned(), image: IMAGE.to_owned(), storage_size, disabled: false }
}

/// A registrar that keeps a module proxy by these settings.
async fn keeper(settings: &ModuleProxy, proxy: Option<&FaultProxy>) -> World {
    let ModuleProxy { namespace, image, storage_size, disabled } = settings;
    let size = storage_size.iter().map(|size| format!("--proxy-storage-size={size}"));
    let args = [
        format!("--proxy-namespace={namespace}"),
        format!("--proxy-image={image}"),
        format!("--proxy-reconciler-disabled={disabled}"),
    ];
    World::start_with(proxy, &args.into_iter().chain(size).collect::<Vec<_>>()).await.unwrap()
}

async fn admin() -> Cluster {
    let control_plane = ControlPlane::shared().await.unwrap();
    Cluster::from_kubeconfig("test", control_plane.admin_kubeconfig()).await.unwrap()
}

/// As an administrator makes it, with what the chart gives the server there.
async fn make_namespace(name: &str) {
    let labels = json!({ "pod-security.kubernetes.io/enforce": "restricted" });
    let namespace: Namespace =
        serde_json::from_value(json!({ "metadata": { "name": name, "labels": labels } })).unwrap();
    admin().await.all::<Namespace>().create(&namespace).await.unwrap();
    installation::allow_module_proxy(ControlPlane::shared().await.unwrap(), name).await.unwrap();
}

async fn place(prefix: &str) -> String {
    let name = unique(prefix);
    make_namespace(&name).await;
    name
}

async fn live(admin: &Cluster, kind: Kind, namespace: &str) -> Option<Object> {
    let name = if kind == Kind::PersistentVolumeClaim { CLAIM } else { NAME };
    admin.objects(kind, namespace).get(name).await.unwrap()
}

/// In what each object differs from what `settings` want; all of it where it is not there.
async fn drifts(admin: &Cluster, settings: &ModuleProxy) -> Vec<String> {
    let wanted = settings.objects();
    let claim = wanted.claim.map(|claim| (Kind::PersistentVolumeClaim, claim));
    let mut all = Vec::new();
    for (kind, wanted) in
        claim.into_iter().chain([(Kind::Service, wanted.service), (Kind::Deployment, wanted.deployment)])
    {
        let live = live(admin, kind, &settings.namespace).await;
        let live = live.map_or_else(|| json!({}), |live| serde_json::to_value(live).unwrap());
        all.extend(drift(&wanted, &live).into_iter().map(|drift| format!("{kind}: {drift}")));
    }
    all
}

async fn until(world: &World, is_so: impl AsyncFn() -> bool) {
    let look = async || {
        ensure!(is_so().await, "{}", world.log());
        Ok(())
    };
    tentacular_test_harness::until("it comes to pass", look).await.unwrap();
}

async fn until_in_order(world: &World, settings: &ModuleProxy) {
    until(world, async || drifts(&world.admin, settings).await.is_empty()).await;
}

#[tokio::test]
async fn a_proxy_is_made_whose_pods_may_start_under_restricted() {
    for size in [None, Some("1Gi")] {
        let settings = settings(&place("modules").await, size);
        let world = keeper(&settings, None).await;
        until_in_order(&world, &settings).await;
        let pods = world.admin.namespaced::<Pod>(&settings.namespace);
        let selector = Selector::labels(&ModuleProxy::selector());
        until(&world, async || !pods.list(&selector).await.unwrap().is_empty()).await;
        let claims = world.admin.namespaced::<PersistentVolumeClaim>(&settings.namespace);
        assert_eq!(claims.list(&Selector::all()).await.unwrap().len(), usize::from(size.is_some()));
    }
}

/// Changes of every field that is set and may be changed. An object of which nothing is left is nobody's, so labels have
/// a turn of their own.
fn changes() -> [Vec<(Kind, Value)>; 2] {
    let labels = json!({ "metadata": { "labels": { "app.kubernetes.io/managed-by": null,
        "app.kubernetes.io/name": "x", "app.kubernetes.io/component": null } } });
    let container = json!({ "name": NAME, "image": "evil:1", "env": [{ "name": "ESMPORT", "value": "1" }],
        "securityContext": { "privileged": true } });
    let pod = json!({ "automountServiceAccountToken": true, "containers": [container],
        "volumes": [{ "name": "cache", "hostPath": { "path": "/" } }],
        "securityContext": { "runAsNonRoot": false, "runAsUser": 0, "runAsGroup": 0, "fsGroup": 0,
            "seccompProfile": { "type": "Unconfined" } } });
    let strategy = json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } });
    let deployment = json!({ "spec": { "replicas": 0, "strategy": strategy, "template": { "spec": pod } } });
    let service = json!({ "spec": { "type": "NodePort", "selector": { "app.kubernetes.io/name": "x" },
        "ports": [{ "port": 9090 }] } });
    let labelled = [Kind::PersistentVolumeClaim, Kind::Service, Kind::Deployment].map(|kind| (kind, labels.clone()));
    [labelled.to_vec(), vec![(Kind::Service, service), (Kind::Deployment, deployment)]]
}

#[tokio::test]
async fn every_field_that_is_set_is_put_right() {
    let settings = settings(&place("modules").await, Some("1Gi"));
    let admin = admin().await;
    let mut off = Vec::new();
    for changes in changes() {
        let world = keeper(&settings, None).await;
        until_in_order(&world, &settings).await;
        drop(world);
        for (kind, change) in changes {
            let name = if kind == Kind::PersistentVolumeClaim { CLAIM } else { NAME };
            admin.objects(kind, &settings.namespace).patch(name, &change).await.unwrap();
        }
        off.extend(drifts(&admin, &settings).await);
    }
    for field in [
        "PersistentVolumeClaim: metadata.labels.app.kubernetes.io/name",
        "Service: metadata.labels.app.kubernetes.io/component",
        "Service: spec.type",
        "Service: spec.selector.app.kubernetes.io/name",
        "Service: spec.ports[http]",
        "Deployment: metadata.labels.app.kubernetes.io/managed-by",
        "Deployment: spec.replicas",
        "Deployment: spec.strategy.type",
        "Deployment: spec.template.spec.automountServiceAccountToken",
        "Deployment: spec.template.spec.containers[esm-sh].env[ESMDIR]",
        "Deployment: spec.template.spec.containers[esm-sh].env[ESMPORT].value",
        "Deployment: spec.template.spec.containers[esm-sh].image",
        "Deployment: spec.template.spec.containers[esm-sh].ports",
        "Deployment: spec.template.spec.containers[esm-sh].readinessProbe",
        "Deployment: spec.template.spec.containers[esm-sh].resources",
        "Deployment: spec.template.spec.containers[esm-sh].securityContext.allowPrivilegeEscalation",
        "Deployment: spec.template.spec.containers[esm-sh].securityContext.capabilities",
        "Deployment: spec.template.spec.containers[esm-sh].volumeMounts",
        "Deployment: spec.template.spec.securityContext.fsGroup",
        "Deployment: spec.template.spec.securityContext.runAsGroup",
        "Deployment: spec.template.spec.securityContext.runAsNonRoot",
        "Deployment: spec.template.spec.securityContext.runAsUser",
        "Deployment: spec.template.spec.securityContext.seccompProfile.type",
        "Deployment: spec.template.spec.volumes[cache].persistentVolumeClaim",
    ] {
        assert!(off.iter().any(|drift| drift.starts_with(field)), "{field} is as it was: {off:#?}");
    }

    let world = keeper(&settings, None).await;
    until_in_order(&world, &settings).await;
    let deployment = serde_json::to_value(live(&admin, Kind::Deployment, &settings.namespace).await).unwrap();
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["volumes"][0]["hostPath"], Value::Null, "{pod}");
    assert_eq!(pod["containers"][0]["securityContext"]["privileged"], Value::Null, "{pod}");
    let service = serde_json::to_value(live(&admin, Kind::Service, &settings.namespace).await).unwrap();
    assert_eq!(service["spec"]["ports"].as_array().map(Vec::len), Some(1), "{service}");
}

#[tokio::test]
async fn what_is_taken_away_or_changed_while_it_runs_is_put_right() {
    let settings = settings(&place("modules").await, None);
    let world = keeper(&settings, None).await;
    until_in_order(&world, &settings).await;
    let services = world.admin.objects(Kind::Service, &settings.namespace);
    services.delete(NAME, &tentacular_cluster::Delete::default()).await.unwrap();
    let deployments = world.admin.objects(Kind::Deployment, &settings.namespace);
    deployments.patch(NAME, &json!({ "spec": { "replicas": 3 } })).await.unwrap();
    assert!(!drifts(&world.admin, &settings).await.is_empty());
    until_in_order(&world, &settings).await;
}

#[tokio::test]
async fn objects_of_others_are_not_taken_over() {
    let settings = settings(&place("modules").await, None);
    let admin = admin().await;
    let labels = json!({ "app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/name": NAME });
    let pod = json!({ "containers": [{ "name": NAME, "image": "chart:1" }] });
    let deployment = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": NAME, "labels": labels },
        "spec": { "selector": { "matchLabels": labels }, "replicas": 0,
            "template": { "metadata": { "labels": labels }, "spec": pod } } });
    let deployments = admin.objects(Kind::Deployment, &settings.namespace);
    deployments.create(&serde_json::from_value(deployment.clone()).unwrap()).await.unwrap();
    let world = keeper(&settings, None).await;
    let refusal = format!("Deployment/{NAME} in {} is somebody else's", settings.namespace);
    until(&world, async || world.log().contains(&refusal)).await;
    // One object in the way of another is not.
    until(&world, async || live(&admin, Kind::Service, &settings.namespace).await.is_some()).await;
    let live = serde_json::to_value(deployments.get(NAME).await.unwrap()).unwrap();
    assert!(drift(&deployment, &live).is_empty(), "{live}");
}

#[tokio::test]
async fn the_proxy_of_an_older_server_is_taken_over_with_all_that_it_set() {
    let settings = settings(&place("modules").await, Some("1Gi"));
    let admin = admin().await;
    let mut older =
        ModuleProxy { image: "older:1".to_owned(), storage_size: None, ..settings.clone() }.objects().deployment;
    older["spec"]["strategy"] = json!({ "type": "RollingUpdate" });
    older["spec"]["template"]["spec"]["containers"][0]["args"] = json!(["--older"]);
    let deployments = admin.objects(Kind::Deployment, &settings.namespace);
    deployments.create(&serde_json::from_value(older).unwrap()).await.unwrap();
    let world = keeper(&settings, None).await;
    until_in_order(&world, &settings).await;
    let live = serde_json::to_value(deployments.get(NAME).await.unwrap()).unwrap();
    let pod = &live["spec"]["template"]["spec"];
    assert_eq!(
        (&pod["containers"][0]["args"], &pod["volumes"][0]["emptyDir"]),
        (&Value::Null, &Value::Null),
        "{pod}"
    );
}

#[tokio::test]
async fn a_namespace_that_is_not_there_yet_stops_nothing_else() {
    let settings = settings(&unique("later"), None);
    let world = keeper(&settings, None).await;
    let missing = format!("namespace {} does not exist", settings.namespace);
    until(&world, async || world.log().contains(&missing)).await;
    until(&world, async || world.call(&Caller::Bearer, "enclave_list", json!({})).await.is_ok()).await;
    assert_eq!(world.log().matches(&missing).count(), 1, "{}", world.log());
    make_namespace(&settings.namespace).await;
    until_in_order(&world, &settings).await;
}

#[tokio::test]
async fn an_enclave_is_no_place_for_it() {
    let enclave = World::start().await.unwrap().provision("enclave").await;
    let settings = settings(&enclave, None);
    let world = keeper(&settings, None).await;
    until(&world, async || world.log().contains(&format!("namespace {enclave} is an enclave"))).await;
    assert!(live(&world.admin, Kind::Deployment, &enclave).await.is_none());
}

#[tokio::test]
async fn a_namespace_that_lets_pods_do_more_is_no_place_for_it() {
    let settings = settings(&place("lax").await, None);
    let admin = admin().await;
    let lax = json!({ "metadata": { "labels": { "pod-security.kubernetes.io/enforce": "baseline" } } });
    admin.all::<Namespace>().patch(&settings.namespace, &lax).await.unwrap();
    let world = keeper(&settings, None).await;
    until(&world, async || world.log().contains("does not hold pods to Pod Security restricted")).await;
    assert!(live(&admin, Kind::Deployment, &settings.namespace).await.is_none());
}

fn patch(resource: &'static str) -> impl Fn(&Call) -> bool + Clone + Send {
    move |call| call.method == Method::PATCH && call.resource() == resource
}

#[tokio::test]
async fn after_an_outage_it_is_put_right() {
    let settings = settings(&place("modules").await, None);
    let proxy = FaultProxy::start(ControlPlane::shared().await.unwrap()).unwrap();
    proxy.fail(0..1, patch("deployments"), Fault::Status(503, None));
    proxy.fail(0..1, patch("services"), Fault::CloseAfter);
    let world = keeper(&settings, Some(&proxy)).await;
    until_in_order(&world, &settings).await;
    assert!(proxy.saw(|call| call.struck), "nothing failed");
}

#[tokio::test]
async fn two_registrars_that_want_the_same_change_nothing_of_each_others() {
    let settings = settings(&place("modules").await, Some("1Gi"));
    let control_plane = ControlPlane::shared().await.unwrap();
    let proxies = [FaultProxy::start(control_plane).unwrap(), FaultProxy::start(control_plane).unwrap()];
    let first = keeper(&settings, Some(&proxies[0])).await;
    until_in_order(&first, &settings).await;
    let written = async |kind| live(&first.admin, kind, &settings.namespace).await.unwrap().metadata;
    let service = written(Kind::Service).await.resource_version;
    let second = keeper(&settings, Some(&proxies[1])).await;
    let again = keeper(&settings, Some(&proxies[0])).await;
    let applied = |proxy: &FaultProxy, count: usize| {
        let answered = |call: &&Call| patch("deployments")(call) && call.status == Some(200);
        proxy.calls().iter().filter(answered).count() >= count
    };
    until(&second, async || applied(&proxies[1], 1)).await;
    until(&again, async || applied(&proxies[0], 2)).await;
    assert_eq!(written(Kind::Service).await.resource_version, service);
    for kind in [Kind::Service, Kind::Deployment, Kind::PersistentVolumeClaim] {
        let metadata = written(kind).await;
        assert!(metadata.generation.is_none_or(|generation| generation == 1), "{kind}: {:?}", metadata.generation);
        let ours =
            metadata.managed_fields.unwrap().into_iter().filter(|entry| entry.operation.as_deref() == Some("Apply"));
        assert_eq!(ours.count(), 1, "{kind}");
    }
}
