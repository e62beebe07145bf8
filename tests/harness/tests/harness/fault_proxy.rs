//! The proxy forwards what comes as it is, and each fault does what it says.

use std::{pin::pin, sync::Arc, time::Duration};

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::{core::v1::ConfigMap, rbac::v1::RoleBinding};
use kube::{
    Api, Client,
    api::{ListParams, PostParams, WatchEvent, WatchParams},
};
use serde_json::{from_value, json};
use tentacular_test_harness::{
    ControlPlane, FaultProxy, Program, Scratch,
    fault_proxy::{Call, Fault},
};

/// Only a hang reaches it.
const HANG: Duration = Duration::from_mins(1);

struct World {
    proxy: FaultProxy,
    namespace: String,
    /// Around the proxy.
    straight: Api<ConfigMap>,
    /// Through it.
    through: Api<ConfigMap>,
}

impl World {
    async fn new(prefix: &str) -> Self {
        let control_plane = ControlPlane::shared().await.unwrap();
        let namespace = control_plane.namespace(prefix).await.unwrap();
        let admin = control_plane.admin().unwrap();
        allow_all(admin.clone(), &namespace).await;
        let proxy = FaultProxy::start(control_plane).unwrap();
        let token = control_plane.token(&namespace, "default").await.unwrap();
        let through = Api::namespaced(proxy.client(&token).unwrap(), &namespace);
        // A right counts some milliseconds after its binding.
        while through.list(&ListParams::default()).await.is_err() {}
        proxy.start_afresh();
        Self { proxy, straight: Api::namespaced(admin, &namespace), namespace, through }
    }

    async fn create(&self, name: &str) -> kube::Result<ConfigMap> {
        self.through.create(&PostParams::default(), &config_map(name)).await
    }

    async fn exists(&self, name: &str) -> bool {
        self.straight.get_opt(name).await.unwrap().is_some()
    }
}

async fn allow_all(admin: Client, namespace: &str) {
    let binding: RoleBinding = from_value(json!({
        "metadata": { "name": "all" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
        "subjects": [{ "kind": "ServiceAccount", "name": "default", "namespace": namespace }],
    }))
    .unwrap();
    Api::<RoleBinding>::namespaced(admin, namespace).create(&PostParams::default(), &binding).await.unwrap();
}

fn config_map(name: &str) -> ConfigMap {
    from_value(json!({ "metadata": { "name": name }, "data": { "of": name } })).unwrap()
}

#[tokio::test]
async fn it_forwards_a_list_a_write_and_a_watch_and_keeps_a_record() {
    let world = World::new("forwards").await;
    let mut events = pin!(world.through.watch(&WatchParams::default(), "0").await.unwrap());
    world.create("one").await.unwrap();
    let seen = async {
        loop {
            match events.try_next().await.unwrap().unwrap() {
                WatchEvent::Added(object) if object.metadata.name.as_deref() == Some("one") => return object,
                _ => (),
            }
        }
    };
    assert_eq!(tokio::time::timeout(HANG, seen).await.unwrap().data, config_map("one").data);
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    world.through.create(&dry_run, &config_map("two")).await.unwrap();
    let listed = world.through.list(&ListParams::default()).await.unwrap();
    assert!(listed.iter().any(|object| object.metadata.name.as_deref() == Some("one")));

    let calls = world.proxy.calls();
    let shown: Vec<_> = calls.iter().map(|call| (call.method.as_str(), call.is_write(), call.is_dry_run())).collect();
    let expected = [("GET", false, false), ("POST", true, false), ("POST", false, true), ("GET", false, false)];
    assert_eq!(shown, expected);
    assert!(calls[0].query.contains("watch=true"), "{:?}", calls[0]);
    assert_eq!(calls.iter().map(|call| call.status).collect::<Vec<_>>(), [200, 201, 201, 200].map(Some));
    assert_eq!(calls[1].body["data"]["of"], "one");
    let place = (calls[1].namespace(), calls[1].resource());
    assert_eq!(place, (Some(world.namespace.as_str()), "configmaps"));
}

#[tokio::test]
async fn a_status_answers_in_place_of_the_api_server_as_often_as_told() {
    let world = World::new("status").await;
    world.proxy.fail(1..3, Call::is_write, Fault::Status(409, Some(7)));
    world.create("first").await.unwrap();
    for name in ["second", "third"] {
        let Err(kube::Error::Api(status)) = world.create(name).await else { panic!("{name} was not refused") };
        assert_eq!((status.code, status.details.unwrap().retry_after_seconds), (409, 7));
        assert!(!world.exists(name).await);
    }
    world.create("fourth").await.unwrap();
    let struck: Vec<_> = world.proxy.calls().iter().map(|call| (call.status, call.struck)).collect();
    assert_eq!(struck, [(201, false), (409, true), (409, true), (201, false)].map(|(status, by)| (Some(status), by)));
}

#[tokio::test]
async fn a_connection_closed_before_or_after_is_an_error_either_way() {
    let world = World::new("closed").await;
    world.proxy.fail(0..1, Call::is_write, Fault::CloseBefore);
    world.create("before").await.unwrap_err();
    assert!(!world.exists("before").await);
    world.proxy.fail(0..1, Call::is_write, Fault::CloseAfter);
    world.create("after").await.unwrap_err();
    assert!(world.exists("after").await);
    // What was refused was not carried out, and does not count.
    world.proxy.fail(0..1, Call::is_write, Fault::CloseAfter);
    let refused = world.create("after").await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 409));
    world.create("next").await.unwrap_err();
    assert!(world.exists("next").await);
}

#[tokio::test]
async fn a_process_is_killed_once_its_write_was_carried_out() {
    let world = World::new("killed").await;
    let scratch = Scratch::new().unwrap();
    let child = Arc::new(Program::new("sleep").arg("600").start(&scratch.path().join("log")).unwrap());
    world.proxy.fail(1..2, Call::is_write, Fault::Kill(Arc::clone(&child)));
    world.create("first").await.unwrap();
    assert!(child.is_running());
    world.create("second").await.unwrap_err();
    assert!(!child.is_running() && world.exists("second").await);
}

#[tokio::test]
async fn away_it_refuses_and_cuts_and_comes_back_on_the_same_port() {
    let world = World::new("away").await;
    let mut events = pin!(world.through.watch(&WatchParams::default(), "0").await.unwrap());
    world.proxy.set_up(false).await.unwrap();
    let until_cut = async { while events.next().await.is_some_and(|event| event.is_ok()) {} };
    tokio::time::timeout(HANG, until_cut).await.unwrap();
    world.create("away").await.unwrap_err();
    world.proxy.set_up(true).await.unwrap();
    world.create("back").await.unwrap();
    assert!(!world.exists("away").await);
}
