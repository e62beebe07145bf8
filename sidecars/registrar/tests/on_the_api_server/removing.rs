//! What `wf_remove` leaves: nothing of the tentacle, everything of others.

use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use serde_json::{Value, json};
use tentacular_contract::Caller;

use crate::{
    applying::{call, config_map, deployment},
    world::{World, person},
};

#[tokio::test]
async fn everything_of_the_tentacle_is_gone_when_the_call_ends() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("remove").await;
    let job = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": { "name": "nightly" },
        "spec": { "schedule": "0 0 1 1 *", "jobTemplate": { "spec": { "template": { "spec": {
            "restartPolicy": "Never", "containers": [{ "name": "c", "image": "i" }],
        } } } } },
    });
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": "report" },
        "spec": { "podSelector": { "matchLabels": { "app": "report" } } },
    });
    let manifests = [config_map("report-code", "1"), policy, job, deployment("report", "i:1")];
    world.call(&Caller::Bearer, "wf_apply", call(&enclave, "report", &manifests)).await.unwrap();
    let others = [config_map("other-code", "1"), deployment("other", "i:1")];
    world.call(&Caller::Bearer, "wf_apply", call(&enclave, "other", &others)).await.unwrap();

    let place = json!({ "enclave": enclave, "name": "report" });
    let removed = world.call(&person("ann@x.io"), "wf_remove", place).await.unwrap();
    assert_eq!((removed["deleted"].as_u64(), &removed["remaining"]), (Some(4), &json!([])), "{removed}");
    let mut names: Vec<_> = removed["removed"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["ConfigMap/report-code", "CronJob/nightly", "Deployment/report", "NetworkPolicy/report"]);
    let deployments = world.admin.namespaced::<Deployment>(&enclave);
    assert!(deployments.get("report").await.unwrap().is_none());
    assert!(deployments.get("other").await.unwrap().is_some());
    assert!(world.admin.namespaced::<ConfigMap>(&enclave).get("other-code").await.unwrap().is_some());
    let again = json!({ "enclave": enclave, "name": "report" });
    let again = world.call(&person("ann@x.io"), "wf_remove", again).await.unwrap();
    assert_eq!(again["deleted"], 0);
}

#[tokio::test]
async fn a_deployment_that_was_not_applied_is_not_removed() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("byhand").await;
    let by_hand: Deployment = serde_json::from_value(deployment("manual", "i:1")).unwrap();
    world.admin.namespaced::<Deployment>(&enclave).create(&by_hand).await.unwrap();
    let place = json!({ "namespace": enclave, "name": "manual" });
    let error = world.call(&Caller::Bearer, "wf_remove", place).await.unwrap_err();
    assert!(error.contains("nothing was removed") && error.contains("belongs to no tentacle"), "{error}");
    assert!(world.admin.namespaced::<Deployment>(&enclave).get("manual").await.unwrap().is_some());
}
