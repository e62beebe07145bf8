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

/// What becomes of the manifests of `tentacle`, where there is an ingress domain.
fn checked_of(tentacle: &str, manifests: Vec<Map<String, Value>>) -> Checked {
    let (enclave, tentacle) = ("team-a".parse().unwrap(), tentacle.parse().unwrap());
    check(manifests, &Scope { enclave: &enclave, tentacle: &tentacle, ingress_domain: Some("apps.x.io") })
}

fn checked(manifests: Value) -> Checked {
    checked_of("report", serde_json::from_value(manifests).unwrap())
}

/// The violations as the caller reads them.
fn refused(manifests: Value) -> String {
    Violations(checked(manifests).violations).to_string()
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "report" },
        "spec": {
            "selector": { "matchLabels": { "app": "report" } },
            "template": { "spec": { "containers": [{ "name": "c", "image": "i" }] } },
        },
    })
}

#[test]
fn what_the_real_client_sends_is_taken() {
    let calls = calls();
    assert_eq!(calls.len(), 2);
    for call in &calls {
        let tentacle = call["name"].as_str().unwrap();
        let given = manifests(call);
        let checked = checked_of(tentacle, given.clone());
        assert_eq!(checked.violations, Vec::<String>::new());
        assert_eq!((checked.manifests.len(), checked.names.len()), (given.len(), given.len()));
        // Two labels that stand one level too high, and nothing else.
        assert_eq!(checked.warnings.len(), 2, "{:?}", checked.warnings);
        for warning in &checked.warnings {
            let expected = format!("manifests[2] (Deployment {tentacle}): spec.template[\"app.kubernetes.io/");
            assert!(warning.starts_with(&expected), "{warning}");
        }
        for manifest in &checked.manifests {
            assert_eq!(manifest.body["metadata"]["labels"]["tentacular.io/release"], tentacle);
        }
        let deployment = checked.manifests.iter().find(|manifest| manifest.kind == Kind::Deployment).unwrap();
        let template = &deployment.body["spec"]["template"];
        assert_eq!(
            template["metadata"]["labels"],
            json!({ "app.kubernetes.io/name": tentacle, "tentacular.io/release": tentacle })
        );
        // Each of its containers mounts something at /tmp already.
        let given = given.iter().find(|manifest| manifest["kind"] == "Deployment").unwrap();
        assert_eq!(template["spec"]["volumes"], given["spec"]["template"]["spec"]["volumes"]);
    }
}

#[test]
fn what_others_refer_to_comes_first() {
    let call = &calls()[0];
    let checked = checked_of(call["name"].as_str().unwrap(), manifests(call));
    let kinds: Vec<_> = checked.manifests.iter().map(|manifest| manifest.kind).collect();
    assert!(kinds.is_sorted(), "{kinds:?}");
    assert_eq!(kinds.last(), Some(&Kind::Deployment));
}

#[test]
fn every_violation_of_every_manifest_is_told() {
    let error = refused(json!([
        { "kind": "Pod", "apiVersion": "v1", "metadata": { "name": "p" } },
        { "kind": "Deployment", "apiVersion": "extensions/v1beta1", "metadata": { "name": "report" } },
        { "kind": "Service", "apiVersion": "v1", "metadata": { "namespace": "team-b", "name": "s" },
          "spec": { "type": "NodePort", "externalIPs": ["1.2.3.4"], "selector": { "app": "report" } } },
        { "kind": "ConfigMap", "apiVersion": "v1", "metadata": { "generateName": "c-" } },
        { "kind": "ConfigMap", "apiVersion": "v1", "metadata": { "name": "tentacular-lock" } },
        { "kind": "ConfigMap", "apiVersion": "v1", "metadata": { "name": "twice" } },
        { "kind": "ConfigMap", "apiVersion": "v1", "metadata": { "name": "twice" } },
        { "kind": "ConfigMap", "apiVersion": "v1", "metadata": { "name": "c" }, "data": { "k": 1 } },
        { "kind": "Secret", "apiVersion": "v1", "metadata": { "name": "../s" } },
        { "kind": "Secret", "apiVersion": "v1", "metadata": { "name": "s", "finalizers": ["x.io/hold"] } },
        {},
    ]));
    for part in [
        "nothing was applied, 12 violations:",
        "manifests[0] (Pod p): kind \"Pod\" is not permitted in workflow manifests; allowed kinds: ConfigMap, ",
        "manifests[1] (Deployment report): apiVersion: \"extensions/v1beta1\" is no version of Deployment",
        "manifests[2] (Service s): metadata.namespace: \"team-b\" is not the enclave team-a",
        "manifests[2] (Service s): spec.type: NodePort",
        "manifests[2] (Service s): spec.externalIPs",
        "manifests[3] (ConfigMap): metadata.name: required",
        "manifests[4] (ConfigMap tentacular-lock): metadata.name: ",
        "manifests[6] (ConfigMap twice): another manifest",
        "manifests[7] (ConfigMap c): data.k: invalid type",
        "manifests[8] (Secret ../s): metadata.name: \"../s\" is no DNS name",
        "manifests[9] (Secret s): metadata.finalizers: x.io/hold would keep",
        "manifests[10]: apiVersion and kind are required",
    ] {
        assert!(error.contains(part), "{part}\n{error}");
    }
}

#[test]
fn a_tentacle_brings_its_deployment_each_time() {
    let other = json!([{ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "report" } }]);
    for manifests in [other, json!([])] {
        let error = refused(manifests);
        assert!(error.contains("Deployment report is not among them"), "{error}");
    }
    assert_eq!(checked(json!([deployment()])).violations, Vec::<String>::new());
    let mut malformed = deployment();
    malformed["spec"]["replicas"] = json!("one");
    let error = refused(json!([malformed]));
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
    assert_eq!(checked(json!(of(limits::MANIFESTS))).violations, Vec::<String>::new());
    let error = refused(json!(of(limits::MANIFESTS + 1)));
    assert!(error.contains("at most 100"), "{error}");
    let error = refused(json!([config_map(0, &"x".repeat(limits::MANIFEST_BYTES))]));
    assert!(error.contains("at most 1048576"), "{error}");
}

#[test]
fn a_manifest_does_not_say_who_owns_the_tentacle() {
    let mut deployment = deployment();
    deployment["metadata"]["annotations"] = json!({
        "tentacular.io/owner": "eve@x.io", "tentacular.io/mode": "rwxrwxrwx", "tentacular.io/version": "1",
    });
    let checked = checked(json!([deployment]));
    let annotations = &checked.manifests[0].body["metadata"]["annotations"];
    assert_eq!(annotations, &json!({ "tentacular.io/version": "1" }));
    assert_eq!(checked.warnings.len(), 2);
}

#[test]
fn nesting_ends_where_json_is_read() {
    let nested = |depth: usize| {
        let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let text = format!(r#"[{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"c"}},"x":{deep}}}]"#);
        serde_json::from_str::<Value>(&text)
    };
    // What recurses over a manifest goes no deeper than this, and the stack holds that.
    let read = checked(nested(125).unwrap());
    assert_eq!(read.warnings, ["manifests[0] (ConfigMap c): x is no field that Kubernetes knows; it was left out"]);
    for depth in [126, 1_000_000] {
        let error = nested(depth).unwrap_err().to_string();
        assert!(error.contains("recursion limit exceeded"), "{error}");
    }
}

#[test]
fn the_rules_know_every_kind_that_is_taken() {
    assert_eq!(Kind::ALL.map(Kind::as_str), tentacular_contract::reach::KINDS);
}

#[test]
fn the_rules_see_what_is_applied_and_not_what_was_sent() {
    let mut deployment = deployment();
    deployment["spec"]["template"]["metadata"]["labels"] = json!({ "tentacular.io/release": "other" });
    let checked = checked(json!([deployment]));
    // The server's label replaced it.
    assert_eq!(checked.violations, Vec::<String>::new());
    assert_eq!(
        checked.manifests[0].body["spec"]["template"]["metadata"]["labels"]["tentacular.io/release"],
        "report"
    );
}
