//! Pods that the API server would not let start are refused before anything is written.

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Namespace},
};
use serde_json::{Value, json};
use tentacular_contract::{
    Caller,
    pod_security::{ENFORCE, ENFORCE_VERSION},
};

use crate::{
    applying::{call, config_map, deployment},
    world::World,
};

async fn enforce(world: &World, enclave: &str, level: &str) {
    let labels = json!({ "metadata": { "labels": { ENFORCE: level } } });
    world.admin.all::<Namespace>().patch(enclave, &labels).await.unwrap();
}

async fn apply(world: &World, enclave: &str, name: &str, pod: Value) -> Result<Value, String> {
    let mut manifest = deployment(name, "i:1");
    for (field, value) in pod.as_object().unwrap() {
        manifest["spec"]["template"]["spec"][field] = value.clone();
    }
    world.call(&Caller::Bearer, "wf_apply", call(enclave, name, &[manifest])).await
}

#[tokio::test]
async fn every_violation_of_every_pod_template_is_told_with_all_the_others() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("violations").await;
    let pod = |pod: Value| json!({ "spec": pod });
    let mut deployment = deployment("report", "i:1");
    deployment["spec"]["template"]["spec"]["hostPID"] = json!(true);
    deployment["spec"]["template"]["spec"]["containers"][0]["securityContext"] =
        json!({ "privileged": true, "allowPrivilegeEscalation": true });
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "job" },
        "spec": { "template": pod(json!({
            "restartPolicy": "Never", "containers": [{ "name": "c", "image": "i" }],
            "securityContext": { "runAsNonRoot": false },
        })) },
    });
    let cron_job = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": { "name": "nightly" },
        "spec": { "schedule": "0 0 * * *", "jobTemplate": { "spec": { "template": pod(json!({
            "restartPolicy": "Never", "containers": [{ "name": "c", "image": "i" }],
            "volumes": [{ "name": "v", "hostPath": { "path": "/" } }],
        })) } } },
    });
    let mut elsewhere = config_map("b", "1");
    elsewhere["metadata"]["namespace"] = json!("elsewhere");
    let manifests = [config_map("a", "1"), deployment, job, cron_job, elsewhere];
    let error = world.call(&Caller::Bearer, "wf_apply", call(&enclave, "report", &manifests)).await.unwrap_err();
    for expected in [
        "Deployment/report: spec.template.spec.hostPID: true is forbidden by Pod Security baseline:v1.34; leave it out \
         (rule hostNamespaces)",
        "Deployment/report: spec.template.spec.containers[0].securityContext.privileged: true is",
        "Deployment/report: spec.template.spec.containers[0].securityContext.allowPrivilegeEscalation: true is",
        "Job/job: spec.template.spec.securityContext.runAsNonRoot: false is",
        "CronJob/nightly: spec.jobTemplate.spec.template.spec.volumes[0].hostPath: \"v\" is",
        "metadata.namespace: \"elsewhere\"",
    ] {
        assert!(error.contains(expected), "{expected} is not in: {error}");
    }
    assert!(error.starts_with("nothing was applied, 6 violations:"), "{error}");
    assert!(world.admin.namespaced::<ConfigMap>(&enclave).get("a").await.unwrap().is_none());
}

#[tokio::test]
async fn pods_are_held_to_the_level_that_the_namespace_enforces() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("levels").await;
    let root = || json!({ "securityContext": { "runAsNonRoot": false } });
    let host = || json!({ "hostPID": true });
    assert!(apply(&world, &enclave, "root", root()).await.unwrap_err().contains("runAsNonRoot: false"));
    enforce(&world, &enclave, "baseline").await;
    apply(&world, &enclave, "root", root()).await.unwrap();
    let deployments = world.admin.namespaced::<Deployment>(&enclave);
    let spec = serde_json::to_value(deployments.get("root").await.unwrap().unwrap().spec).unwrap();
    let container = &spec["template"]["spec"]["containers"][0];
    assert_eq!(container["securityContext"]["runAsNonRoot"], Value::Null, "{container}");
    assert!(apply(&world, &enclave, "host", host()).await.unwrap_err().contains("hostPID: true"));
    enforce(&world, &enclave, "privileged").await;
    apply(&world, &enclave, "host", host()).await.unwrap();
}

#[tokio::test]
async fn pods_are_held_to_the_version_that_the_namespace_enforces() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("versions").await;
    let pod =
        || json!({ "securityContext": { "sysctls": [{ "name": "net.ipv4.tcp_rmem", "value": "4096 87380 1" }] } });
    let pin = async |version: &str| {
        let labels = json!({ "metadata": { "labels": { ENFORCE_VERSION: version } } });
        world.admin.all::<Namespace>().patch(&enclave, &labels).await.unwrap();
    };
    pin("v1.31").await;
    let error = apply(&world, &enclave, "report", pod()).await.unwrap_err();
    assert!(error.contains("Pod Security baseline:v1.31; leave this sysctl out"), "{error}");
    pin("v1.32").await;
    apply(&world, &enclave, "report", pod()).await.unwrap();
}

#[tokio::test]
async fn the_defaults_make_a_pod_for_windows_that_kubernetes_takes() {
    let world = World::start().await.unwrap();
    let enclave = world.provision("windows").await;
    apply(&world, &enclave, "report", json!({ "os": { "name": "windows" } })).await.unwrap();
}
