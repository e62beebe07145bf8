use serde_json::{Value, json};

use super::*;

fn request(kind: (&str, &str), operation: &str, object: &Value, old: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": kind.0, "version": "v1", "kind": kind.1},
            "resource": {"group": kind.0, "version": "v1", "resource": "things"},
            "requestKind": {"group": kind.0, "version": "v1", "kind": kind.1},
            "name": "team-a",
            "operation": operation,
            "userInfo": {"username": "ada", "groups": ["system:authenticated"]},
            "object": object,
            "oldObject": old,
            "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        }
    })
}

fn namespace(annotations: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a", "annotations": annotations}})
}

fn reviewer() -> (Reviewer, Metrics) {
    let metrics = Metrics::default();
    (Reviewer::new(&metrics), metrics)
}

fn answer(request: &Value) -> Value {
    let body = reviewer().0.answer(request.to_string().as_bytes()).expect("a review");
    let review: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(review["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(review["kind"], "AdmissionReview");
    assert_eq!(review["response"]["uid"], "705ab4f5-6393-11e8-b7cc-42010a800002");
    review["response"].clone()
}

const NAMESPACE: (&str, &str) = ("", "Namespace");

#[test]
fn a_refusal_names_everything_at_once() {
    let object = namespace(&json!({"tentacular.io/mode": "777", "tentacular.io/enclave-status": "gone"}));
    let response = answer(&request(NAMESPACE, "CREATE", &object, &Value::Null));
    assert_eq!(response["allowed"], false);
    assert_eq!(response["status"]["code"], 422);
    let message = response["status"]["message"].as_str().expect("a message");
    for part in [
        "metadata.annotations[tentacular.io/mode]: invalid mode \"777\": give nine characters",
        "(rule enclave-mode)\n",
        "metadata.annotations[tentacular.io/enclave-status]: invalid enclave status \"gone\": use one of",
        "(rule enclave-status)",
    ] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn an_old_bad_value_is_a_warning() {
    let bad = namespace(&json!({"tentacular.io/mode": "777"}));
    let response = answer(&request(NAMESPACE, "UPDATE", &bad, &bad));
    assert_eq!(response["allowed"], true);
    assert!(response["warnings"][0].as_str().expect("a warning").contains("rule enclave-mode"));
    let response = answer(&request(NAMESPACE, "UPDATE", &bad, &namespace(&Value::Null)));
    assert_eq!(response["allowed"], false);
}

#[test]
fn what_has_no_rules_is_allowed() {
    let bad = namespace(&json!({"tentacular.io/mode": "777"}));
    let mut status = request(NAMESPACE, "UPDATE", &bad, &Value::Null);
    status["request"]["subResource"] = json!("status");
    for request in [
        request(NAMESPACE, "CREATE", &namespace(&Value::Null), &Value::Null),
        request(NAMESPACE, "DELETE", &Value::Null, &bad),
        request(NAMESPACE, "CONNECT", &Value::Null, &Value::Null),
        request(("example.com", "Thing"), "CREATE", &json!({"spec": {"anything": [1, null]}}), &Value::Null),
        request(("", "Pod"), "CREATE", &bad, &Value::Null),
        status,
    ] {
        let response = answer(&request);
        assert_eq!(response["allowed"], true, "{request}");
        assert!(response.get("warnings").is_none(), "{request}");
    }
}

#[test]
fn a_malformed_review_is_no_review() {
    let reviewer = reviewer().0;
    let mut version = request(NAMESPACE, "CREATE", &namespace(&Value::Null), &Value::Null);
    version["apiVersion"] = json!("admission.k8s.io/v1beta1");
    let mut operation = request(NAMESPACE, "CREATE", &namespace(&Value::Null), &Value::Null);
    operation["request"]["operation"] = json!("PERHAPS");
    let empty = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}).to_string();
    for body in ["", "{}", "[]", "null", &empty, &version.to_string(), &operation.to_string()] {
        assert!(reviewer.answer(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn reviews_are_counted_by_kind_and_verdict() {
    let (reviewer, metrics) = reviewer();
    let bad = namespace(&json!({"tentacular.io/mode": "777"}));
    for request in [
        request(NAMESPACE, "CREATE", &bad, &Value::Null),
        request(("example.com", "Thing"), "CREATE", &json!({}), &Value::Null),
    ] {
        reviewer.answer(request.to_string().as_bytes()).expect("a review");
    }
    let text = metrics.encode();
    for line in [
        "tentacular_webhook_reviews_total{kind=\"namespace\",verdict=\"denied\"} 1",
        "tentacular_webhook_reviews_total{kind=\"other\",verdict=\"allowed\"} 1",
    ] {
        assert!(text.contains(line), "{text}");
    }
}
