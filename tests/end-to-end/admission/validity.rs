//! What nobody may write into an enclave, administrators included: pods that the enclave's Pod Security forbids, and objects
//! that reach beyond it.

use serde_json::{Value, json};
use tentacular_test_harness::Part;

use super::world::{World, account, admin, by, path, pod_spec, workloads, world};
use crate::thief::attempt::{Attempt, By, all_possible, all_refused, create, merge, replace, strategic};

/// Those whom the rules hold for.
fn everybody(world: &World) -> [String; 3] {
    [world.editor.clone(), world.chief.clone(), world.administrator.clone()]
}

fn creates(enclave: &str, spec: &Value) -> Vec<Attempt> {
    let all = workloads("mine", spec).into_iter();
    all.map(|(group, plural, object)| create(path(enclave, group, plural), object)).collect()
}

#[tokio::test]
async fn e2e_admission_pod_security_holds_on_pods_and_on_every_template() -> anyhow::Result<()> {
    let (world, admin) = (world().await?, admin().await?);
    let mut forbidden = pod_spec();
    forbidden["hostPID"] = json!(true);
    // Of a pod, the API server's own Pod Security says so first.
    let templates = &creates(&world.active, &forbidden)[1..];
    // The role to edit has no right on templates alone.
    for person in [&world.chief, &world.administrator] {
        let refused = by(person, templates).into_iter().map(|attempt| (By::Validation("hostNamespaces"), attempt));
        all_refused(&admin, refused).await?;
        all_possible(&admin, by(person, &creates(&world.active, &pod_spec()))).await?;
    }
    // The server's own account is held to it too, a controller is not: what it writes was reviewed.
    let deployment = [templates[3].clone()];
    let refused = by(&account(Part::Registrar), &deployment).into_iter();
    all_refused(&admin, refused.map(|attempt| (By::Validation("hostNamespaces"), attempt))).await?;
    all_possible(&admin, deployment.map(Attempt::by_a_controller)).await
}

#[tokio::test]
async fn e2e_admission_a_template_that_is_so_already_stands_in_nobodys_way() -> anyhow::Result<()> {
    let (world, admin) = (world().await?, admin().await?);
    let mut spec = pod_spec();
    spec["hostPID"] = json!(true);
    let name = "older";
    let objects = path(&world.active, "apps", "deployments");
    let (_, _, mut object) =
        workloads(name, &spec).into_iter().find(|(_, plural, _)| *plural == "deployments").unwrap();
    object["spec"]["paused"] = json!(true);
    object["spec"]["replicas"] = json!(0);
    let stored = create(&*objects, object).by_a_controller().send_for_real(&admin).await?;
    let older = format!("{objects}/{name}");
    let mut worse = stored.clone();
    worse["spec"]["template"]["spec"]["hostIPC"] = json!(true);
    worse["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    let refused = replace(&*older, worse).posing_as(&world.editor);
    all_refused(&admin, [(By::Validation("hostNamespaces"), refused)]).await?;
    let possible = [
        merge(&*older, json!({ "metadata": { "annotations": { "note": "x" } } })),
        merge(&*older, json!({ "spec": { "template": { "spec": { "hostPID": null } } } })),
    ];
    all_possible(&admin, by(&world.editor, &possible)).await
}

#[tokio::test]
async fn e2e_admission_a_debugging_container_is_held_to_pod_security_and_frozen_enclaves() -> anyhow::Result<()> {
    let (world, admin) = (world().await?, admin().await?);
    for (enclave, name) in [(&world.active, "debugged"), (&world.frozen, "debugged")] {
        let pod = json!({ "metadata": { "name": name }, "spec": pod_spec() });
        create(path(enclave, "", "pods"), pod).send_for_real(&admin).await?;
    }
    let debug = |enclave: &str, reads: &str| {
        let mut container = pod_spec()["containers"][0].take();
        container["name"] = json!("debug");
        if !reads.is_empty() {
            container["envFrom"] = json!([{ "secretRef": { "name": reads } }]);
        }
        let patch = json!({ "spec": { "ephemeralContainers": [container] } });
        strategic(format!("{}/debugged/ephemeralcontainers", path(enclave, "", "pods")), patch)
    };
    let secret = debug(&world.active, "tentacular-exoskeleton-other");
    for person in [&world.chief, &world.administrator] {
        all_refused(&admin, [(By::Validation("own-reference"), secret.clone().posing_as(person))]).await?;
        all_possible(&admin, by(person, &[debug(&world.active, "")])).await?;
    }
    let frozen = debug(&world.frozen, "");
    all_refused(&admin, [(By::Protection("frozen-enclave"), frozen.clone().posing_as(&world.chief))]).await?;
    all_possible(&admin, by(&world.administrator, &[frozen])).await
}

#[tokio::test]
async fn e2e_admission_nothing_in_an_enclave_reaches_beyond_it() -> anyhow::Result<()> {
    let (world, admin) = (world().await?, admin().await?);
    let object = |group: &str, plural: &str, rest: Value| {
        let mut object = rest;
        object["metadata"]["name"] = json!("mine");
        create(path(&world.active, group, plural), object)
    };
    let service = |spec: Value| {
        let mut spec = spec;
        spec["ports"] = json!([{ "port": 80 }]);
        spec["selector"] = json!({ "app": "mine" });
        object("", "services", json!({ "spec": spec }))
    };
    let rule = json!({ "host": "bank.example", "http": { "paths": [{ "path": "/", "pathType": "Prefix",
        "backend": { "service": { "name": "mine", "port": { "number": 80 } } } }] } });
    let token = json!({ "type": "kubernetes.io/service-account-token",
        "metadata": { "annotations": { "kubernetes.io/service-account.name": "default" } } });
    let pod = |change: &dyn Fn(&mut Value)| {
        let mut spec = pod_spec();
        change(&mut spec);
        object("", "pods", json!({ "spec": spec }))
    };
    let stolen = json!([{ "name": "v", "secret": { "secretName": "tentacular-exoskeleton-other" } }]);
    let cases = [
        ("internal-service", service(json!({ "type": "NodePort" }))),
        ("internal-service", service(json!({ "type": "LoadBalancer" }))),
        ("internal-service", service(json!({ "externalIPs": ["192.0.2.7"] }))),
        ("no-token", object("", "secrets", token)),
        ("own-host", object("networking.k8s.io", "ingresses", json!({ "spec": { "rules": [rule] } }))),
        ("powerless-account", pod(&|spec| spec["serviceAccountName"] = json!("builder"))),
        ("fair-scheduling", pod(&|spec| spec["nodeName"] = json!("node"))),
        ("own-reference", pod(&|spec| spec["volumes"] = stolen.clone())),
    ];
    create(path(&world.active, "", "serviceaccounts"), json!({ "metadata": { "name": "builder" } }))
        .send_for_real(&admin)
        .await?;
    for person in everybody(world) {
        let refused = cases.iter().map(|(rule, attempt)| (By::Validation(rule), attempt.clone().posing_as(&person)));
        all_refused(&admin, refused).await?;
        let possible = [
            service(json!({})),
            object("", "secrets", json!({ "type": "Opaque", "stringData": { "k": "v" } })),
            pod(&|spec| spec["serviceAccountName"] = json!("default")),
        ];
        all_possible(&admin, by(&person, &possible)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn e2e_admission_a_release_is_held_to_its_own_whoever_writes_it() -> anyhow::Result<()> {
    let (world, admin) = (world().await?, admin().await?);
    let service = format!("{}/word-count", path(&world.active, "", "services"));
    let other = merge(&*service, json!({ "spec": { "selector": { "tentacular.io/release": "other" } } }));
    let policies = path(&world.active, "networking.k8s.io", "networkpolicies");
    let policy = |selector: Value| {
        let labels = json!({ "tentacular.io/release": "word-count" });
        let spec = json!({ "podSelector": selector, "egress": [{}] });
        create(&*policies, json!({ "metadata": { "name": "mine", "labels": labels }, "spec": spec }))
    };
    let cases = [other, policy(json!({})), policy(json!({ "matchLabels": { "tentacular.io/release": "other" } }))];
    for person in [world.administrator.clone(), account(Part::Registrar)] {
        let refused = by(&person, &cases).into_iter().map(|attempt| (By::Validation("own-selector"), attempt));
        all_refused(&admin, refused).await?;
        let own = json!({ "matchLabels": { "tentacular.io/release": "word-count" } });
        all_possible(&admin, by(&person, &[policy(own)])).await?;
    }
    Ok(())
}
