//! What becomes of the calls of the real client, and of the example in its shapes.

use serde_json::json;

use super::{tests::checked_of, *};

/// Two calls of the real client, as recorded.
const CALLS: &str = include_str!("../../../tests/data/wf_apply.jsonl");

fn calls() -> Vec<Value> {
    CALLS.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
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

fn manifests(call: &Value) -> Vec<Map<String, Value>> {
    serde_json::from_value(call["manifests"].clone()).unwrap()
}

#[test]
fn what_the_real_client_sends_is_taken() {
    let calls: Vec<_> = calls().into_iter().map(without_services).collect();
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
        // Each of its containers mounts something at /tmp already, and it may send to the collector.
        let given_as = |kind: &str| given.iter().find(|manifest| manifest["kind"] == kind).unwrap();
        let given = &given_as("Deployment")["spec"]["template"]["spec"];
        assert_eq!(template["spec"]["volumes"], given["volumes"]);
        assert_eq!(template["spec"]["containers"][0]["args"], given["containers"][0]["args"]);
        let policy = checked.manifests.iter().find(|manifest| manifest.kind == Kind::NetworkPolicy).unwrap();
        assert_eq!(policy.body["spec"]["egress"], given_as("NetworkPolicy")["spec"]["egress"]);
    }
}

#[test]
fn backing_services_that_the_real_client_asks_for_are_all_refused() {
    let call = &calls()[0];
    let checked = checked_of(call["name"].as_str().unwrap(), manifests(call));
    assert_eq!(checked.violations.len(), 3, "{:?}", checked.violations);
    for (violation, service) in checked.violations.iter().zip(["nats", "postgres", "rustfs"]) {
        assert!(violation.contains(&format!(": exoskeleton: {service} not enabled; ")), "{violation}");
    }
    // The rest of it was looked at as ever.
    assert_eq!(checked.manifests.len(), call["manifests"].as_array().unwrap().len());
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
fn the_example_is_taken_as_it_is() {
    let manifests = serde_json::from_str(include_str!("../../../../../examples/word-count/manifests.json")).unwrap();
    let checked = checked_of("word-count", manifests);
    assert_eq!((checked.violations, checked.warnings), (vec![], vec![]));
}
