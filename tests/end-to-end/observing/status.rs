//! `wf_status` with detail: why a tentacle is not ready.

use anyhow::ensure;
use k8s_openapi::{
    api::core::v1::{Event, Namespace, Pod},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tentacular_test_harness::{
    node::{IMAGE_PULL, READY},
    until,
};

use super::world::{HIDDEN, OPEN, World, deployment, each, with_pods};

async fn status(world: &World, name: &str, is_so: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
    world.until(world.owner(), "wf_status", json!({ "name": name, "detail": true }), is_so).await
}

#[tokio::test]
async fn e2e_observe_status_says_why_each_pod_is_not_ready() -> anyhow::Result<()> {
    let world = World::empty("why").await?;
    let pulling = with_pods("pulls", |pods| pods["metadata"]["annotations"] = json!({ READY: IMAGE_PULL }));
    let held = |name: &str| {
        with_pods(name, |pods| pods["spec"]["schedulingGates"] = json!([{ "name": "example.com/held" }]))
    };
    let crashed = json!({
        "conditions": [{ "type": "PodScheduled", "status": "True" }],
        "containerStatuses": [{
            "name": "engine", "image": "i", "imageID": "", "ready": false, "restartCount": 7,
            "state": { "waiting": { "reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting" } },
            "lastState": { "terminated": { "exitCode": 137, "reason": "OOMKilled" } },
        }],
    });
    let unplaced = json!({ "conditions": [{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/1 nodes are available: 1 Insufficient memory." }] });
    for (name, manifest, set, reason) in [
        ("pulls", pulling, None, "container engine: ImagePullBackOff: Back-off pulling image \"localhost/engine:1\""),
        (
            "crashes",
            held("crashes"),
            Some(crashed),
            "container engine: CrashLoopBackOff: back-off 5m0s restarting; it ended with exit code 137 (OOMKilled) the last \
             time, after 7 restarts",
        ),
        (
            "unplaced",
            held("unplaced"),
            Some(unplaced),
            "cannot be placed on a node: Unschedulable: 0/1 nodes are available: 1 Insufficient memory.",
        ),
    ] {
        world.apply(name, "private", &[manifest]).await?;
        let pod = world.pod(name).await?;
        if let Some(set) = set {
            world.set_status(&pod, set).await?;
        }
        let taken_up = |seen: &Value| !seen["reason"].as_str().unwrap_or_default().contains("not been taken up");
        let seen = status(&world, name, |seen| each(&seen["pods"], "reason") == [reason] && taken_up(seen)).await?;
        assert_eq!((&seen["ready"], &seen["pods"][0]["ready"]), (&json!(false), &json!(false)), "{seen}");
        assert_eq!(seen["reason"], format!("0/1 replicas available; pod {pod}: {reason}"));
        assert!(seen["untrusted"].is_string(), "{seen}");
    }
    Ok(())
}

#[tokio::test]
async fn e2e_observe_status_says_that_the_pods_are_refused() -> anyhow::Result<()> {
    let world = World::empty("refused").await?;
    let greedy = with_pods("greedy", |pods| {
        let much = json!({ "cpu": "1000", "memory": "16Mi" });
        pods["spec"]["containers"][0]["resources"] = json!({ "requests": much, "limits": much });
    });
    world.apply("greedy", "private", &[greedy]).await?;
    let says = |parts: &'static [&'static str]| {
        move |seen: &Value| parts.iter().all(|part| seen["reason"].as_str().unwrap_or_default().contains(part))
    };
    let parts = &["0/1 replicas available: ", "exceeded quota: tentacular-quota", "requests.cpu=1000050m"];
    let seen = status(&world, "greedy", says(parts)).await?;
    assert_eq!(seen["pods"], json!([]));
    let refused =
        |event: &Value| event["reason"] == "FailedCreate" && event["message"].as_str().unwrap().contains("quota");
    let seen = status(&world, "greedy", |seen| seen["events"].as_array().unwrap().iter().any(refused)).await?;
    assert!(each(&seen["events"], "object").iter().any(|object| object.starts_with("ReplicaSet/greedy-")), "{seen}");

    // What the newest rules of Pod Security allow and those of this version did not.
    let older = json!({ "metadata": { "labels": { "pod-security.kubernetes.io/enforce-version": "v1.24" } } });
    let tuned = with_pods("tuned", |pods| {
        let sysctl = json!({ "name": "net.ipv4.tcp_keepalive_time", "value": "60" });
        pods["spec"]["securityContext"] = json!({ "sysctls": [sysctl] });
    });
    world.apply("tuned", "private", &[tuned]).await?;
    let pod = world.pod("tuned").await?;
    let namespaces = Api::<Namespace>::all(world.admin.clone());
    namespaces.patch(&world.team.enclave, &PatchParams::default(), &Patch::Merge(older)).await?;
    let pods = world.api::<Pod>();
    let mut again = pods.get(&pod).await?;
    again.metadata = ObjectMeta { name: Some("again".to_owned()), ..ObjectMeta::default() };
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    // The API server goes by a label some milliseconds after it was set.
    until("the pod is refused", async || {
        ensure!(pods.create(&dry_run, &again).await.is_err());
        Ok(())
    })
    .await?;
    pods.delete(&pod, &DeleteParams::default()).await?;
    status(&world, "tuned", says(&["violates PodSecurity", "sysctl"])).await?;
    Ok(())
}

#[tokio::test]
async fn e2e_observe_status_says_that_a_rollout_is_stuck_while_older_pods_serve() -> anyhow::Result<()> {
    let world = World::new("stuck").await?;
    status(&world, OPEN, |seen| seen["ready"] == true).await?;
    let old = world.pod(OPEN).await?;
    let mut pulling = with_pods(OPEN, |pods| pods["metadata"]["annotations"] = json!({ READY: IMAGE_PULL }));
    pulling["spec"]["progressDeadlineSeconds"] = json!(1);
    world.apply(OPEN, "member-read", &[pulling]).await?;
    // What takes a status for the one before would be answered with ready by the older pod.
    let answer = world.ask(world.owner(), "wf_status", json!({ "name": OPEN })).await?;
    assert_eq!(answer["ready"], false, "{answer}");
    let beginning = "1/1 replicas available, 1 of 1 pods are of the newest kind and 1 of an older one: ";
    // The deadline of the rollout may pass before its pod is there.
    let given_up = |seen: &Value| {
        let reason = seen["reason"].as_str().unwrap_or_default();
        let why = ["has timed out progressing", "ImagePullBackOff"];
        reason.starts_with(beginning) && why.iter().all(|why| reason.contains(why))
    };
    let seen = status(&world, OPEN, given_up).await?;
    assert_eq!((&seen["ready"], &seen["available"]), (&json!(false), &json!(1)), "{seen}");
    let of_kind = |resource: &&Value| resource["kind"] == "Deployment";
    let deployment = seen["resources"].as_array().unwrap().iter().find(of_kind).unwrap();
    assert_eq!(deployment["ready"], false, "{deployment}");
    assert!(each(&seen["pods"], "name").contains(&old.as_str()), "{seen}");

    // Whoever calls the tentacle is answered by the older pod.
    let described = world.ask(world.owner(), "wf_describe", json!({ "name": OPEN })).await?;
    assert_eq!((&described["ready"], &described["ready_replicas"]), (&json!(false), &json!(1)), "{described}");
    let listed = world.ask(world.owner(), "wf_list", json!({})).await?;
    let open = listed["workflows"].as_array().unwrap().iter().find(|tentacle| tentacle["name"] == OPEN).unwrap();
    assert_eq!(open["ready"], true, "{listed}");
    Ok(())
}

#[tokio::test]
async fn e2e_observe_status_has_the_newest_events_of_all_that_belongs_to_the_tentacle() -> anyhow::Result<()> {
    let world = World::new("happened").await?;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "open" },
        "spec": { "selector": { "app.kubernetes.io/name": OPEN }, "ports": [{ "port": 8080 }] },
    });
    world.apply(OPEN, "member-read", &[deployment(OPEN), service]).await?;
    let services = world.api::<k8s_openapi::api::core::v1::Service>();
    let service = services.get(OPEN).await?.metadata.uid.unwrap();
    let pod = world.pod(HIDDEN).await?;
    for (number, (kind, name, uid)) in
        [("Service", OPEN, service.as_str()), ("Pod", &*pod, ""), ("Namespace", &*world.team.enclave, "")]
            .into_iter()
            .enumerate()
    {
        for count in 0..60 {
            let time = format!("2036-01-01T00:{count:02}:0{number}Z");
            let event = json!({
                "metadata": { "generateName": "e-" }, "reason": "Tested", "message": format!("{kind} {count}"),
                "involvedObject": { "kind": kind, "name": name, "namespace": world.team.enclave, "uid": uid },
                "lastTimestamp": time, "source": { "component": "test" },
            });
            world.create::<Event>(event).await?;
        }
    }
    let seen = world.ask(world.member(), "wf_status", json!({ "name": OPEN, "detail": true })).await?;
    let messages = each(&seen["events"], "message");
    let newest: Vec<_> = (10..60).rev().map(|count| format!("Service {count}")).collect();
    assert_eq!(messages, newest);
    assert!(seen["warnings"][0].as_str().unwrap().contains("events are shown; wf_events shows them all"), "{seen}");
    assert_eq!(each(&seen["pods"], "tentacle"), [OPEN]);
    Ok(())
}
