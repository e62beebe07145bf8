//! Everything that speaks against an apply is told at once, with object, field and what to do.

use serde_json::json;

use super::{
    manifests::{config_map, deployment, of, secret, service, six, with_pods},
    place::Place,
};

#[tokio::test]
async fn e2e_apply_all_violations_of_all_manifests_are_told_at_once() -> anyhow::Result<()> {
    let place = Place::new("violations").await?;
    place.apply("other", &six("other")).await?;
    place.create("by-hand", config_map("nobodys", &json!({ "k": "v" }))).await?;
    let mut lying = service("report");
    lying["spec"]["type"] = json!("NodePort");
    let mut elsewhere = config_map("elsewhere", &json!({}));
    elsewhere["metadata"]["namespace"] = json!("kube-system");
    let privileged = with_pods(deployment("report"), |pods| {
        pods["spec"]["containers"][0]["securityContext"] = json!({ "privileged": true });
        pods["spec"]["hostNetwork"] = json!(true);
        pods["spec"]["volumes"][0] = json!({ "name": "code", "secret": { "secretName": "other-secrets" } });
    });
    let manifests = [
        privileged,
        lying,
        elsewhere,
        config_map("other-code", &json!({ "k": "stolen" })),
        config_map("nobodys", &json!({ "k": "stolen" })),
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "bare" } }),
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "generateName": "any-" } }),
        secret("tentacular-mine", &json!({ "token": "hunter2" })),
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "typed" }, "data": { "k": "not base64: hunter2" },
        }),
    ];
    let refusal = place.refusal("report", &manifests, &json!({})).await?;
    let (head, lines) = refusal.split_once(":\n- ").unwrap();
    let lines: Vec<_> = lines.split("\n- ").collect();
    assert_eq!(head, format!("nothing was applied, {} violations", lines.len()));
    for told in [
        // What a manifest shows alone.
        &["Deployment report", "hostNetwork"][..],
        &["Deployment/report", "privileged"],
        &["Service report", "spec.type", "NodePort", "ClusterIP"],
        &["ConfigMap elsewhere", "metadata.namespace", "kube-system", "leave it out"],
        &["Pod bare", "kind", "allowed kinds: ConfigMap"],
        &["manifests[6] (ConfigMap)", "metadata.name: required"],
        &["Secret tentacular-mine", "metadata.name"],
        &["Secret typed", "data.k", "base64"],
        // What only the cluster shows.
        &["ConfigMap/other-code", "belongs to tentacle other", "choose another name"],
        &["ConfigMap/nobodys", "belongs to no tentacle", "adopt: true"],
        &["Deployment/report", "spec.template.spec.volumes[0]", "other-secrets"],
    ] {
        let found = lines.iter().any(|line| told.iter().all(|part| line.contains(part)));
        let host_network = told.contains(&"hostNetwork") && refusal.contains("hostNetwork");
        assert!(found || host_network, "{told:?} is not in {refusal}");
    }
    assert!(!refusal.contains("hunter2"), "{refusal}");
    Ok(())
}

#[tokio::test]
async fn e2e_apply_refusals_of_the_api_server_are_told_together_too() -> anyhow::Result<()> {
    let place = Place::new("refusals").await?;
    let mut manifests = six("report");
    of(&mut manifests, "Service", "")["spec"]["ports"][0]["port"] = json!(123_456);
    of(&mut manifests, "ConfigMap", "-readme")["data"] = json!({ "no key!": "" });
    of(&mut manifests, "Secret", "")["stringData"] = json!({ "no key!": "hunter2" });
    of(&mut manifests, "Deployment", "")["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] =
        json!("Now");
    let refusal = place.refusal("report", &manifests, &json!({})).await?;
    assert!(refusal.starts_with("nothing was applied, 4 violations:"), "{refusal}");
    for told in [
        "/report is invalid: spec.ports[0].port: Invalid value: 123456",
        "/report-readme is invalid: data[no key!]",
        "/report-secrets is invalid: data[no key!]",
        "/report is invalid: spec.template.spec.containers[0].imagePullPolicy",
    ] {
        assert!(refusal.contains(told), "{told} is not in {refusal}");
    }
    assert!(!refusal.contains("hunter2") && !refusal.contains("aHVudGVy"), "{refusal}");
    Ok(())
}
