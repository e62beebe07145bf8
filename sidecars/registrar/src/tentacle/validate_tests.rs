use serde_json::json;

use super::*;

/// Two calls of the real client, as recorded.
const CALLS: &str = include_str!("../../tests/data/wf_apply.jsonl");

fn calls() -> Vec<Value> {
    CALLS.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn manifests(call: &Value) -> Vec<Map<String, Value>> {
    serde_json::from_value(call["manifests"].clone()).unwrap()
}

fn checked(manifests: Value) -> Result<Checked, Violations> {
    let manifests = serde_json::from_value(manifests).unwrap();
    check(manifests, &"team-a".parse().unwrap(), &"report".parse().unwrap())
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "report" },
        "spec": { "selector": {}, "template": { "spec": { "containers": [{ "name": "c", "image": "i" }] } } },
    })
}

#[test]
fn what_the_real_client_sends_is_taken() {
    let calls = calls();
    assert_eq!(calls.len(), 2);
    for call in &calls {
        let tentacle: TentacleName = call["name"].as_str().unwrap().parse().unwrap();
        let given = manifests(call);
        let checked = check(given.clone(), &"team-a".parse().unwrap(), &tentacle).unwrap();
        assert_eq!(checked.manifests.len(), given.len());
        // Two labels that stand one level too high, and nothing else.
        assert_eq!(checked.warnings.len(), 2, "{:?}", checked.warnings);
        for warning in &checked.warnings {
            let expected = format!("manifests[2] (Deployment {tentacle}): spec.template[\"app.kubernetes.io/");
            assert!(warning.starts_with(&expected), "{warning}");
        }
        for manifest in &checked.manifests {
            assert_eq!(manifest.body["metadata"]["labels"]["tentacular.io/release"], tentacle.as_str());
        }
        let deployment = checked.manifests.iter().find(|manifest| manifest.kind == Kind::Deployment).unwrap();
        let template = &deployment.body["spec"]["template"];
        assert_eq!(
            template["metadata"]["labels"],
            json!({ "app.kubernetes.io/name": tentacle.as_str(), "tentacular.io/release": tentacle.as_str() })
        );
        // Each of its containers mounts something at /tmp already.
        let given = given.iter().find(|manifest| manifest["kind"] == "Deployment").unwrap();
        assert_eq!(template["spec"]["volumes"], given["spec"]["template"]["spec"]["volumes"]);
    }
}

#[test]
fn what_others_refer_to_comes_first() {
    let call = &calls()[0];
    let tentacle: TentacleName = call["name"].as_str().unwrap().parse().unwrap();
    let checked = check(manifests(call), &"team-a".parse().unwrap(), &tentacle).unwrap();
    let kinds: Vec<_> = checked.manifests.iter().map(|manifest| manifest.kind).collect();
    assert!(kinds.is_sorted(), "{kinds:?}");
    assert_eq!(kinds.last(), Some(&Kind::Deployment));
}

#[test]
fn every_violation_of_every_manifest_is_told() {
    let error = checked(json!([
        { "kind": "Pod", "apiVersion": "v1", "metadata": { "name": "p" } },
        { "kind": "Deployment", "apiVersion": "extensions/v1beta1", "metadata": { "name": "report" } },
        { "kind": "Service", "apiVersion": "v1", "metadata": { "namespace": "team-b", "name": "s" },
          "spec": { "type": "NodePort", "externalIPs": ["1.2.3.4"] } },
        { "kind": "ConfigMap", "apiVersion": "v1", "metadata": { "generateName": "c-" } },
        { "kind": "ConfigMap", "apiVersion": "v1", "metadata": { "name": "tentacular-lock" } },
        { "kind": "ConfigMap", "apiVersion": "v1", "metadata": { "name": "twice" } },
        { "kind": "ConfigMap", "apiVersion": "v1", "metadata": { "name": "twice" } },
        { "kind": "ConfigMap", "apiVersion": "v1", "metadata": { "name": "c" }, "data": { "k": 1 } },
        {},
    ]))
    .unwrap_err()
    .to_string();
    for part in [
        "nothing was applied, 10 violations:",
        "manifests[0] (Pod p): kind \"Pod\" is not permitted in workflow manifests; allowed kinds: ConfigMap, ",
        "manifests[1] (Deployment report): apiVersion: \"extensions/v1beta1\" is no version of Deployment",
        "manifests[2] (Service s): metadata.namespace: \"team-b\" is not the enclave team-a",
        "manifests[2] (Service s): spec.type: NodePort",
        "manifests[2] (Service s): spec.externalIPs",
        "manifests[3] (ConfigMap): metadata.name: required",
        "manifests[4] (ConfigMap tentacular-lock): metadata.name: ",
        "manifests[6] (ConfigMap twice): another manifest",
        "manifests[7] (ConfigMap c): data.k: invalid type",
        "manifests[8]: apiVersion and kind are required",
    ] {
        assert!(error.contains(part), "{part}\n{error}");
    }
}

#[test]
fn a_tentacle_brings_its_deployment_each_time() {
    let other = json!([{ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "report" } }]);
    for manifests in [other, json!([])] {
        let error = checked(manifests).unwrap_err().to_string();
        assert!(error.contains("Deployment report is not among them"), "{error}");
    }
    assert!(checked(json!([deployment()])).is_ok());
    let mut malformed = deployment();
    malformed["spec"]["replicas"] = json!("one");
    let error = checked(json!([malformed])).unwrap_err().to_string();
    assert!(error.contains("spec.replicas") && !error.contains("is not among them"), "{error}");
}

#[test]
fn limits_are_named() {
    let config_map = |index: usize, data: &str| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": format!("c{index}") },
            "data": { "k": data },
        })
    };
    let of = |count: usize| {
        let others = (1..count).map(|index| config_map(index, ""));
        std::iter::once(deployment()).chain(others).collect::<Vec<_>>()
    };
    assert!(checked(json!(of(limits::MANIFESTS))).is_ok());
    let error = checked(json!(of(limits::MANIFESTS + 1))).unwrap_err().to_string();
    assert!(error.contains("at most 100"), "{error}");
    let error = checked(json!([config_map(0, &"x".repeat(limits::MANIFEST_BYTES))])).unwrap_err().to_string();
    assert!(error.contains("at most 1048576"), "{error}");
}

#[test]
fn a_manifest_does_not_say_who_owns_the_tentacle() {
    let mut deployment = deployment();
    deployment["metadata"]["annotations"] = json!({
        "tentacular.io/owner": "eve@x.io", "tentacular.io/mode": "rwxrwxrwx", "tentacular.io/version": "1",
    });
    let checked = checked(json!([deployment])).unwrap();
    let annotations = &checked.manifests[0].body["metadata"]["annotations"];
    assert_eq!(annotations, &json!({ "tentacular.io/version": "1" }));
    assert_eq!(checked.warnings.len(), 2);
}
