//! What `wf_apply` makes of manifests.

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service},
    networking::v1::NetworkPolicy,
};
use serde_json::{Value, json};
use tentacular_cluster::{Kind, Selector};
use tentacular_contract::{Caller, keys};

use crate::world::{World, person};

/// Calls of the real client, for an enclave of this name.
fn recorded(enclave: &str) -> Vec<Value> {
    let calls = include_str!("../data/wf_apply.jsonl").replace("team-a", enclave);
    calls.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The call without the dependencies on backing services that its contract may have.
fn without_services(mut call: Value) -> Value {
    let file = &mut call["manifests"][0]["data"]["workflow.yaml"];
    let text = file.as_str().unwrap();
    if let (Some(start), Some(end)) = (text.find("    tentacular-postgres:"), text.find("    github-api:")) {
        *file = json!(format!("{}{}", &text[..start], &text[end..]));
    }
    call
}

/// A Deployment of that name which Pod Security admits.
pub(crate) fn deployment(name: &str, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": {
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "c", "image": image, "resources": { "limits": { "cpu": 1 } } }] },
            },
        },
    })
}

pub(crate) fn config_map(name: &str, value: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "k": value } })
}

pub(crate) fn call(enclave: &str, name: &str, manifests: &[Value]) -> Value {
    json!({ "enclave": enclave, "name": name, "manifests": manifests })
}

fn counts(applied: &Value) -> [u64; 4] {
    ["created", "updated", "deleted", "unchanged"].map(|key| applied[key].as_u64().unwrap())
}

#[tokio::test]
async fn what_the_real_client_sends_is_applied_and_a_repeat_changes_nothing() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("tntc").await;
    let calls = recorded(&enclave);
    // The small one is sent as it was recorded.
    assert_eq!(without_services(calls[1].clone()), calls[1]);
    for arguments in calls.into_iter().map(without_services) {
        let name = arguments["name"].as_str().unwrap().to_owned();
        let number = arguments["manifests"].as_array().unwrap().len() as u64;
        let applied = world.call(&person("ann@x.io"), "wf_apply", arguments.clone()).await.unwrap();
        assert_eq!((counts(&applied), &applied["status"]), ([number, 0, 0, 0], &json!("created")), "{applied}");
        assert!(applied["warnings"].to_string().contains("spec.template[\\\"app.kubernetes.io/version"), "{applied}");
        assert!(applied["applied"].as_array().unwrap().contains(&json!(format!("Deployment/{name}"))));
        let deployments = world.admin.namespaced::<Deployment>(&enclave);
        let first = deployments.get(&name).await.unwrap().unwrap();
        let annotations = first.metadata.annotations.unwrap();
        assert_eq!(annotations[keys::OWNER], "ann@x.io");
        assert_eq!(annotations[keys::DEPLOYED_VIA], "tntc");
        assert_eq!(annotations[keys::MODE], "rwxr-x---");
        let template = first.spec.unwrap().template.metadata.unwrap().labels.unwrap();
        assert_eq!(template[keys::RELEASE], name);

        let again = world.call(&person("ann@x.io"), "wf_apply", arguments).await.unwrap();
        assert_eq!((counts(&again), &again["status"]), ([0, 0, 0, number], &json!("unchanged")), "{again}");
        let second = deployments.get(&name).await.unwrap().unwrap().metadata.annotations.unwrap();
        assert_eq!(second[keys::DEPLOYED_AT], annotations[keys::DEPLOYED_AT]);
        assert_eq!(second.get(keys::UPDATED_AT), None);
    }
    let info = world.call(&person("bob@x.io"), "enclave_info", json!({ "enclave": enclave })).await.unwrap();
    assert_eq!((&info["tentacle_count"], &info["caller_role"]), (&json!(2), &json!("member")));
}

#[tokio::test]
async fn backing_services_that_the_real_client_asks_for_are_refused_whole_until_they_are_taken_out() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("services").await;
    let arguments = recorded(&enclave).remove(0);
    let error = world.call(&person("ann@x.io"), "wf_apply", arguments.clone()).await.unwrap_err();
    assert!(error.starts_with("nothing was applied, 3 violations:"), "{error}");
    for service in ["postgres", "nats", "rustfs"] {
        let refusal = format!(
            "ConfigMap/rich-flow-code: data[\"workflow.yaml\"]: contract.dependencies.tentacular-{service}: exoskeleton: \
             {service} not enabled; take the dependency out of workflow.yaml, or ask"
        );
        assert!(error.contains(&refusal), "{error}");
    }
    let release = Selector::labels("tentacular.io/release=rich-flow");
    for kind in Kind::ALL {
        let written = world.admin.objects(kind, &enclave).list(&release).await.unwrap();
        assert!(written.is_empty(), "{kind}");
    }
    let number = arguments["manifests"].as_array().unwrap().len() as u64;
    let applied = world.call(&person("ann@x.io"), "wf_apply", without_services(arguments)).await.unwrap();
    assert_eq!(counts(&applied), [number, 0, 0, 0], "{applied}");
}

#[tokio::test]
async fn an_engine_may_send_its_telemetry_and_a_repeat_adds_nothing() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("telemetry").await;
    let mut engine = deployment("report", "i:1");
    engine["spec"]["template"]["spec"]["containers"][0].as_object_mut().unwrap().extend([
        ("command".to_owned(), json!(["deno"])),
        ("args".to_owned(), json!(["run", "--allow-env=HOME", "--allow-net=a.io:443", "main.ts", "--workflow", "w"])),
    ]);
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": "report-netpol" },
        "spec": {
            "podSelector": { "matchLabels": { "app": "report" } }, "policyTypes": ["Egress"],
            "egress": [{ "ports": [{ "port": 53, "protocol": "UDP" }] }],
        },
    });
    let manifests = [policy, engine];
    for expected in [[2, 0, 0, 0], [0, 0, 0, 2]] {
        let applied = world.call(&Caller::Bearer, "wf_apply", call(&enclave, "report", &manifests)).await.unwrap();
        assert_eq!(counts(&applied), expected, "{applied}");
        let policy = world.admin.namespaced::<NetworkPolicy>(&enclave).get("report-netpol").await.unwrap().unwrap();
        assert_eq!(policy.spec.unwrap().egress.unwrap().len(), 2);
        let deployment = world.admin.namespaced::<Deployment>(&enclave).get("report").await.unwrap().unwrap();
        let args = deployment.spec.unwrap().template.spec.unwrap().containers.remove(0).args.unwrap();
        assert_eq!((args[1].matches("OTEL_").count(), args[2].matches("otel-collector").count()), (5, 1), "{args:?}");
    }
}

#[tokio::test]
async fn an_update_writes_what_changed_and_removes_what_is_no_longer_there() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("update").await;
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "data" },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
    });
    let secret = |texts: Value| {
        let metadata = json!({ "name": "s" });
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": texts })
    };
    let first = [
        volume,
        config_map("a", "1"),
        config_map("b", "1"),
        secret(json!({ "x": "1", "y": "2" })),
        deployment("report", "i:1"),
    ];
    world.call(&Caller::Bearer, "wf_apply", call(&enclave, "report", &first)).await.unwrap();
    let second = [config_map("a", "2"), secret(json!({ "x": "1" })), deployment("report", "i:1")];
    let planned = {
        let mut arguments = call(&enclave, "report", &second);
        arguments["dry_run"] = json!(true);
        world.call(&person("ann@x.io"), "wf_apply", arguments).await.unwrap()
    };
    let config_maps = world.admin.namespaced::<ConfigMap>(&enclave);
    assert_eq!(config_maps.get("a").await.unwrap().unwrap().data.unwrap()["k"], "1", "a dry run writes nothing");

    let applied = world.call(&person("ann@x.io"), "wf_apply", call(&enclave, "report", &second)).await.unwrap();
    // The Deployment is the same but for the record of this apply.
    assert_eq!((counts(&applied), &applied["status"]), ([0, 3, 1, 0], &json!("updated")), "{applied}");
    let without_fields = |outcome: &Value| {
        let mut objects = outcome["objects"].clone();
        for object in objects.as_array_mut().unwrap() {
            object.as_object_mut().unwrap().remove("fields");
        }
        objects
    };
    assert_eq!((without_fields(&planned), planned["dry_run"].as_bool()), (applied["objects"].clone(), Some(true)));
    assert!(applied["warnings"].to_string().contains("PersistentVolumeClaim/data"), "{applied}");
    assert!(config_maps.get("b").await.unwrap().is_none());
    assert!(world.admin.namespaced::<PersistentVolumeClaim>(&enclave).get("data").await.unwrap().is_some());
    let data = world.admin.namespaced::<Secret>(&enclave).get("s").await.unwrap().unwrap().data.unwrap();
    assert_eq!(
        data.into_iter().map(|(key, value)| (key, value.0)).collect::<Vec<_>>(),
        [("x".into(), b"1".to_vec())]
    );
    let deployment = world.admin.namespaced::<Deployment>(&enclave).get("report").await.unwrap().unwrap();
    let annotations = deployment.metadata.annotations.unwrap();
    assert_eq!(annotations[keys::UPDATED_BY_EMAIL], "ann@x.io");
    assert_eq!((annotations.get(keys::OWNER), &*annotations[keys::DEPLOYED_BY]), (None, "ann@x.io"));
}

#[tokio::test]
async fn every_refusal_of_the_api_server_is_told_before_anything_is_written() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("refusal").await;
    let mut broken = deployment("report", "i:1");
    broken["spec"]["template"]["metadata"]["labels"]["app"] = json!("other");
    let mut key = config_map("c", "1");
    key["data"] = json!({ "not a key": "1" });
    let manifests = [config_map("a", "1"), key, broken];
    let error = world.call(&Caller::Bearer, "wf_apply", call(&enclave, "report", &manifests)).await.unwrap_err();
    assert!(error.starts_with("nothing was applied, 2 violations:"), "{error}");
    assert!(error.contains("spec.template.metadata.labels") && error.contains("not a key"), "{error}");
    assert!(world.admin.namespaced::<ConfigMap>(&enclave).get("a").await.unwrap().is_none());
}

#[tokio::test]
async fn an_object_that_is_not_the_tentacles_stops_the_whole_apply() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("foreign").await;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "shared" },
        "spec": { "selector": { "app": "one" }, "ports": [{ "port": 80 }] },
    });
    let one = [service.clone(), deployment("one", "i:1")];
    world.call(&Caller::Bearer, "wf_apply", call(&enclave, "one", &one)).await.unwrap();
    let nobodys: ConfigMap = serde_json::from_value(config_map("nobodys", "1")).unwrap();
    world.admin.namespaced::<ConfigMap>(&enclave).create(&nobodys).await.unwrap();
    let two = [config_map("new", "1"), config_map("nobodys", "2"), service, deployment("two", "i:1")];
    let error = world.call(&Caller::Bearer, "wf_apply", call(&enclave, "two", &two)).await.unwrap_err();
    assert!(error.contains("Service/shared belongs to tentacle one"), "{error}");
    assert!(error.contains("ConfigMap/nobodys is there already and belongs to no tentacle"), "{error}");
    assert!(world.admin.namespaced::<ConfigMap>(&enclave).get("new").await.unwrap().is_none());
    let shared = world.admin.namespaced::<Service>(&enclave).get("shared").await.unwrap().unwrap();
    assert_eq!(shared.metadata.labels.unwrap()[keys::RELEASE], "one");
}

#[tokio::test]
async fn updates_at_the_same_time_all_end_well() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("contended").await;
    let update = |value: usize| {
        let manifests = [config_map("a", &value.to_string()), deployment("report", &format!("i:{value}"))];
        let (world, arguments) = (&world, call(&enclave, "report", &manifests));
        async move { world.call(&Caller::Bearer, "wf_apply", arguments).await }
    };
    update(0).await.unwrap();
    for applied in futures::future::join_all((1..5).map(update)).await {
        applied.unwrap();
    }
    // The same again, after the last word was had by any of them.
    let last = update(9).await.unwrap();
    assert_eq!(counts(&last), [0, 2, 0, 0], "{last}");
}
