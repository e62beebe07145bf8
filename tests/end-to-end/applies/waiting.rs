//! Waiting for the pods, and why they do not start.

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use tentacular_test_harness::{eventually, node, until};

use super::{
    manifests::{config_map, deployment, six, with_pods},
    place::{Place, ground},
    progress,
};

/// The Deployment whose pods have this fate with the harness's node.
fn fated(fate: &str) -> Value {
    with_pods(deployment("report"), |pods| {
        pods["metadata"]["annotations"] = json!({ node::READY: fate });
    })
}

fn problem(answer: &Value) -> &str {
    assert_eq!(answer["rollout"]["ready"], false, "{answer}");
    let problems = answer["rollout"]["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems[0].as_str().unwrap()
}

#[tokio::test]
async fn e2e_apply_waits_until_the_pods_are_new_and_tells_what_it_writes() -> anyhow::Result<()> {
    let place = Place::new("wait").await?;
    let raw = ground().await?.stack.raw();
    let arguments = place.arguments("report", &six("report"), &json!({ "wait_seconds": 270 }));
    let (told, answer) = progress::call(&raw, "wf_apply", &arguments).await?;
    let rollout = json!({ "ready": true, "replicas": 1, "updated": 1, "available": 1, "problems": [] });
    assert_eq!(answer["rollout"], rollout, "{answer}");
    let writes: Vec<_> = told.iter().filter(|params| params["total"] == json!(6.0)).collect();
    let messages: Vec<_> = writes.iter().map(|params| params["message"].as_str().unwrap()).collect();
    assert_eq!(messages.len(), 6, "{told:?}");
    assert_eq!((messages[0], messages[5]), ("ConfigMap/report-code", "Deployment/report"));
    let progress: Vec<_> = told.iter().map(|params| params["progress"].as_f64().unwrap()).collect();
    assert!(progress.is_sorted(), "progress never goes back: {progress:?}");

    // The next pods are waited for, not the ones that are there.
    let mut next = six("report");
    next[0] = config_map("report-code", &json!({ "main.ts": "2" }));
    let answer = place.apply_with("report", &next, &json!({ "wait_seconds": 270 })).await?;
    assert_eq!(answer["rollout"]["ready"], true, "{answer}");
    let pods = Api::<Pod>::namespaced(place.admin.clone(), &place.enclave);
    let checksum = place.checksum("report").await?;
    let ready = |pod: &Pod| {
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
    };
    let is_new = |pod: &Pod| pod.annotations().get("tentacular.io/config-checksum").cloned() == checksum;
    let listed = pods.list(&ListParams::default()).await?;
    assert!(listed.iter().any(|pod| ready(pod) && is_new(pod)), "{listed:?}");
    Ok(())
}

#[tokio::test]
async fn e2e_apply_says_why_a_pod_does_not_become_ready() -> anyhow::Result<()> {
    for (fate, why) in [
        (node::IMAGE_PULL, "container engine: ImagePullBackOff: Back-off pulling image \"localhost/engine:1\""),
        (node::UNREADY, "container engine runs, and its readiness probe has not succeeded"),
    ] {
        let place = Place::new("pull").await?;
        let arguments = place.arguments("report", &[fated(fate)], &json!({ "wait_seconds": 5 }));
        let (told, answer) = progress::call(&ground().await?.stack.raw(), "wf_apply", &arguments).await?;
        let problem = problem(&answer);
        assert!(problem.starts_with("pod report-") && problem.ends_with(why), "{problem}");
        assert!(told.iter().any(|params| params["message"].as_str().unwrap().contains(why)), "{told:?}");
        assert_eq!(
            (&answer["created"], &answer["status"]),
            (&json!(1), &json!("created")),
            "it is applied all the same"
        );
    }
    Ok(())
}

/// The only pod of the enclave, once it is there.
async fn pod(pods: &Api<Pod>) -> anyhow::Result<String> {
    until("a pod is made", async || {
        let pod = pods.list(&ListParams::default()).await?.into_iter().next().context("there is none")?;
        Ok(pod.name_any())
    })
    .await
}

#[tokio::test]
async fn e2e_apply_says_that_a_container_crashes_or_has_no_place() -> anyhow::Result<()> {
    let place = Place::new("crash").await?;
    let gated = with_pods(deployment("report"), |pods| {
        // The harness's node leaves such a pod alone, and the administrator reports for it.
        pods["spec"]["schedulingGates"] = json!([{ "name": "example.com/held" }]);
    });
    place.apply("report", std::slice::from_ref(&gated)).await?;
    let pods = Api::<Pod>::namespaced(place.admin.clone(), &place.enclave);
    let name = pod(&pods).await?;
    let scheduled = |status: &str, reason: &str, message: &str| json!([{ "type": "PodScheduled", "status": status, "reason": reason, "message": message }]);
    let crashing = json!([{
        "name": "engine", "image": "i", "imageID": "", "ready": false, "restartCount": 7,
        "state": { "waiting": { "reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting" } },
        "lastState": { "terminated": { "exitCode": 137, "reason": "OOMKilled" } },
    }]);
    for (status, why) in [
        (
            json!({ "conditions": scheduled("False", "Unschedulable", "0/1 nodes are available: 1 Insufficient memory.") }),
            "cannot be placed on a node: Unschedulable: 0/1 nodes are available: 1 Insufficient memory.",
        ),
        (
            json!({ "conditions": scheduled("True", "", ""), "containerStatuses": crashing }),
            "container engine: CrashLoopBackOff: back-off 5m0s restarting; it ended with exit code 137 (OOMKilled) the last \
             time, after 7 restarts",
        ),
    ] {
        let patch = Patch::Merge(json!({ "status": status }));
        pods.patch_status(&name, &PatchParams::default(), &patch).await?;
        let answer = place.apply_with("report", std::slice::from_ref(&gated), &json!({ "wait_seconds": 1 })).await?;
        assert_eq!((problem(&answer), &answer["status"]), (&*format!("pod {name} {why}"), &json!("unchanged")));
    }
    Ok(())
}

/// Waits until no pod can be made for the tentacle.
async fn until_refused(place: &Place) -> anyhow::Result<()> {
    // `eventually` is for kinds with a type of their own.
    let deployments = place.api("Deployment");
    until("the pods of the tentacle are refused", async || {
        let deployment = deployments.get("report").await?;
        let conditions = &deployment.data["status"]["conditions"];
        let mut all = conditions.as_array().into_iter().flatten();
        ensure!(all.any(|one| one["type"] == "ReplicaFailure"), "{conditions}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn e2e_apply_says_that_the_quota_is_used_up() -> anyhow::Result<()> {
    let place = Place::new("quota").await?;
    let greedy = with_pods(deployment("report"), |pods| {
        let cpu = json!({ "cpu": "1000", "memory": "16Mi" });
        pods["spec"]["containers"][0]["resources"] = json!({ "requests": cpu, "limits": cpu });
    });
    place.apply("report", std::slice::from_ref(&greedy)).await?;
    until_refused(&place).await?;
    let answer = place.apply_with("report", std::slice::from_ref(&greedy), &json!({ "wait_seconds": 1 })).await?;
    let problem = problem(&answer);
    assert!(problem.contains("exceeded quota: tentacular-quota") && problem.contains("requests.cpu=1k"), "{problem}");
    Ok(())
}

#[tokio::test]
async fn e2e_apply_refuses_what_pod_security_refuses_at_the_version_of_the_namespace() -> anyhow::Result<()> {
    let place = Place::new("psa").await?;
    // What the newest rules allow and those of this version did not.
    let older = json!({ "metadata": { "labels": { "pod-security.kubernetes.io/enforce-version": "v1.24" } } });
    let namespaces = Api::<Namespace>::all(place.admin.clone());
    namespaces.patch(&place.enclave, &PatchParams::default(), &Patch::Merge(older)).await?;
    let enforced = |namespace: Option<&Namespace>| {
        namespace.is_some_and(|namespace| namespace.labels()["pod-security.kubernetes.io/enforce-version"] == "v1.24")
    };
    eventually(&namespaces, &place.enclave, enforced).await?;
    let tuned = with_pods(deployment("report"), |pods| {
        pods["spec"]["securityContext"] =
            json!({ "sysctls": [{ "name": "net.ipv4.tcp_keepalive_time", "value": "60" }] });
    });
    let refusal = place.refusal("report", &[tuned], &json!({})).await?;
    assert!(
        refusal.contains("is forbidden by Pod Security baseline:v1.24") && refusal.contains("sysctl"),
        "{refusal}"
    );
    Ok(())
}

#[tokio::test]
async fn e2e_apply_waits_no_longer_than_is_allowed_and_not_for_what_cannot_come() -> anyhow::Result<()> {
    let place = Place::new("long").await?;
    let refusal = place.refusal("report", &six("report"), &json!({ "wait_seconds": 271 })).await?;
    assert_eq!(refusal, "nothing was applied: wait_seconds 271 is out of range: give 0 to 270");
    for nonsense in [json!(-1), json!("10"), json!(1.5)] {
        let refusal = place.refusal("report", &six("report"), &json!({ "wait_seconds": nonsense })).await?;
        assert!(refusal.contains("wait_seconds"), "{refusal}");
    }
    let mut paused = deployment("report");
    paused["spec"]["paused"] = json!(true);
    let answer = place.apply_with("report", &[paused], &json!({ "wait_seconds": 270 })).await?;
    assert!(problem(&answer).contains("paused (spec.paused)"), "{answer}");
    Ok(())
}
