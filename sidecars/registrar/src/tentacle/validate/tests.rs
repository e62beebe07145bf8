use serde_json::json;

use super::*;

/// What becomes of the manifests of `tentacle`, where there is an ingress domain.
pub(super) fn checked_of(tentacle: &str, manifests: Vec<Map<String, Value>>) -> Checked {
    let (enclave, tentacle) = ("team-a".parse().unwrap(), tentacle.parse().unwrap());
    check(manifests, &Scope { enclave: &enclave, tentacle: &tentacle, ingress_domain: Some("apps.x.io") }, &[])
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
fn contract_and_nodes_are_checked_together_with_the_rest() {
    let mut deployment = deployment();
    deployment["metadata"]["annotations"] = json!({ "tentacular.io/nodes": "[\"fetch\"]" });
    let code = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "report-code" },
        "data": { "workflow.yaml": "contract: {dependencies: {tentacular-nats: {}, tentacular-x: {}}}" },
    });
    let ours = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "tentacular-x" } });
    let checked = checked(json!([deployment, code, ours]));
    for (violation, part) in checked.violations.iter().zip(["own-name", "nats not enabled", "node \"fetch\": "]) {
        assert!(violation.contains(part), "{violation}");
    }
    assert_eq!((checked.violations.len(), checked.warnings.len()), (3, 1), "{checked:?}");
}

#[test]
fn what_telemetry_needs_is_among_what_the_rules_look_at() {
    let mut deployment = deployment();
    deployment["spec"]["template"]["spec"]["containers"][0] = json!({
        "name": "engine", "image": "i", "command": ["deno"], "args": ["run", "--allow-env=A", "--workflow", "w"],
    });
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": "report-netpol" },
        "spec": { "podSelector": { "matchLabels": { "app": "report" } }, "policyTypes": ["Egress"] },
    });
    let checked = checked(json!([deployment, policy]));
    assert_eq!((checked.violations, checked.warnings), (vec![], vec![]));
    assert_eq!(checked.manifests[0].body["spec"]["egress"].as_array().unwrap().len(), 1);
    let args = &checked.manifests[1].body["spec"]["template"]["spec"]["containers"][0]["args"];
    assert!(args[1].as_str().unwrap().contains("OTEL_SERVICE_NAME"), "{args}");
    let seen = format!("{:?}", checked.objects);
    assert!(seen.contains("OTEL_SERVICE_NAME") && seen.contains("4318"), "{seen}");
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
fn an_answer_has_room_for_so_much_and_no_more() {
    let unknown: Map<_, _> = (0..TOLD + 7).map(|index| (format!("x{index}"), json!(1))).collect();
    let mut deployment = deployment();
    deployment["spec"].as_object_mut().unwrap().extend(unknown);
    let warnings = checked(json!([deployment])).warnings;
    assert_eq!((warnings.len(), warnings[TOLD].as_str()), (TOLD + 1, "and 7 more"));

    let error = Violations(vec!["x".to_owned(); TOLD + 7]).to_string();
    assert!(error.starts_with("nothing was applied, 507 violations:\n- x\n- x"), "{error}");
    assert_eq!((error.lines().count(), error.lines().last()), (TOLD + 2, Some("- and 7 more")));
    assert_eq!(Violations(vec!["x".to_owned(); TOLD]).to_string().lines().count(), TOLD + 1);

    let long = "\n".repeat(100_000);
    for manifest in [
        json!({ "apiVersion": "v1", "kind": long, "metadata": { "name": "c" } }),
        json!({ "apiVersion": long, "kind": "Secret", "metadata": { "name": "c" } }),
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": long, "namespace": long } }),
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": long } }),
    ] {
        let error = refused(json!([manifest]));
        assert!(error.contains("\\n\\n") && error.len() < 2000, "{error}");
    }
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
