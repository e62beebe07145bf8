use serde_json::{Value, json};
use tentacular_contract::pod_security::Version;
use tentacular_process::metrics::Metrics;
use tokio::sync::watch;

use super::*;

/// An administrator.
const CHIEF: &str = "chief";

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
            "namespace": "team-a",
            "operation": operation,
            "userInfo": {"username": "ada", "groups": ["system:authenticated"]},
            "object": object,
            "oldObject": old,
            "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        }
    })
}

fn by(user: &str, mut request: Value) -> Value {
    request["request"]["userInfo"]["username"] = json!(user);
    request
}

fn namespace(annotations: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a", "annotations": annotations}})
}

fn reviewer() -> (Reviewer, Metrics) {
    let metrics = Metrics::default();
    let frozen = json!({
        "name": "team-a", "labels": { "app.kubernetes.io/managed-by": "tentacular" },
        "annotations": { "tentacular.io/enclave": "team-a", "tentacular.io/enclave-status": "frozen" },
    });
    let namespaces = Namespaces::fixed([serde_json::from_value(frozen).expect("metadata")]);
    let installation = Installation { ingress_domain: None, version: watch::channel(Version::NEWEST).1 };
    let callers = Callers::administrators([CHIEF]);
    (Reviewer::new(Decisions::new(&metrics), namespaces, callers, installation), metrics)
}

async fn answer(request: &Value) -> Value {
    let body = reviewer().0.answer(request.to_string().as_bytes()).await.expect("a review");
    let review: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(review["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(review["kind"], "AdmissionReview");
    assert_eq!(review["response"]["uid"], "705ab4f5-6393-11e8-b7cc-42010a800002");
    review["response"].clone()
}

const NAMESPACE: (&str, &str) = ("", "Namespace");

#[tokio::test]
async fn a_refusal_names_everything_at_once() {
    let object = namespace(&json!({"tentacular.io/mode": "777", "tentacular.io/enclave-status": "gone"}));
    let response = answer(&by(CHIEF, request(NAMESPACE, "CREATE", &object, &Value::Null))).await;
    assert_eq!(response["allowed"], false);
    assert_eq!((&response["status"]["code"], &response["status"]["reason"]), (&json!(422), &json!("Invalid")));
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

#[tokio::test]
async fn of_very_many_findings_the_first_are_told() {
    let annotations: Value = (0..70).map(|number| (format!("tentacular.io/owner-{number}"), json!("eve"))).collect();
    let response = answer(&request(NAMESPACE, "CREATE", &namespace(&annotations), &Value::Null)).await;
    let message = response["status"]["message"].as_str().expect("refused");
    assert!(message.lines().count() == 51 && message.ends_with("\nand 20 more"), "{message}");
}

#[test]
fn a_rule_that_panics_refuses_one_review() {
    let (verdict, Code(code, _)) = guarded(|| -> Verdict { panic!("on purpose") }).expect_err("a refusal");
    assert_eq!((code, verdict.violations.len(), verdict.violations[0].rule), (500, 1, "internal-error"));
    assert_eq!(guarded(|| 1).ok(), Some(1));
}

#[tokio::test]
async fn an_old_bad_value_is_a_warning() {
    let bad = namespace(&json!({"tentacular.io/mode": "777"}));
    let response = answer(&by(CHIEF, request(NAMESPACE, "UPDATE", &bad, &bad))).await;
    assert_eq!(response["allowed"], true);
    assert!(response["warnings"][0].as_str().expect("a warning").contains("rule enclave-mode"));
    let response = answer(&request(NAMESPACE, "UPDATE", &bad, &namespace(&Value::Null))).await;
    assert_eq!(response["allowed"], false);
}

#[tokio::test]
async fn an_administrator_is_exempt_from_protection_and_from_nothing_else() {
    let (reviewer, metrics) = reviewer();
    let ask = async |request: &Value| -> Value {
        let body = reviewer.answer(request.to_string().as_bytes()).await.expect("a review");
        serde_json::from_slice::<Value>(&body).expect("JSON")["response"].take()
    };
    let (none, bad) = (namespace(&Value::Null), namespace(&json!({"tentacular.io/mode": "777"})));
    let deleted = request(NAMESPACE, "DELETE", &Value::Null, &none);
    let response = ask(&deleted).await;
    assert_eq!((&response["allowed"], &response["status"]["code"]), (&json!(false), &json!(403)), "{response}");
    assert_eq!(response["status"]["reason"], "Forbidden");
    assert_eq!(ask(&by(CHIEF, deleted)).await["allowed"], true);

    let written = request(NAMESPACE, "CREATE", &bad, &Value::Null);
    let rules = |response: &Value| {
        let message = response["status"]["message"].as_str().expect("refused");
        ["protected-metadata", "enclave-mode"].map(|rule| message.contains(&format!("(rule {rule})")))
    };
    let response = ask(&written).await;
    assert_eq!((&response["status"]["code"], rules(&response)), (&json!(403), [true, true]), "{response}");
    let response = ask(&by(CHIEF, written)).await;
    assert_eq!((&response["status"]["code"], rules(&response)), (&json!(422), [false, true]), "{response}");
    let exempt = |rule: &str| {
        let line = format!("webhook_decisions_total{{kind=\"namespace\",rule=\"{rule}\",outcome=\"exempt\"}} 1");
        metrics.encode().contains(&line)
    };
    assert!(exempt("enclave-deletion") && !exempt("protected-metadata"), "{}", metrics.encode());
}

#[tokio::test]
async fn what_the_api_server_leaves_out_of_a_user_is_no_fault() {
    let thing = request(("example.com", "Thing"), "CREATE", &json!({}), &Value::Null);
    for user in [
        json!({}),
        json!({ "username": "ada", "groups": null }),
        json!({ "username": "ada", "uid": null, "extra": { "scopes": null, "others": ["a"] } }),
    ] {
        let mut thing = thing.clone();
        thing["request"]["userInfo"] = user;
        assert_eq!(answer(&thing).await["allowed"], true, "{thing}");
    }
}

#[tokio::test]
async fn an_object_is_judged_by_the_namespace_it_is_in() {
    let scale = |replicas: u32| json!({ "metadata": { "name": "report" }, "spec": { "replicas": replicas } });
    let mut scaled = request(("autoscaling", "Scale"), "UPDATE", &scale(2), &scale(1));
    scaled["request"]["resource"] = json!({ "group": "apps", "version": "v1", "resource": "deployments" });
    scaled["request"]["subResource"] = json!("scale");
    let response = answer(&scaled).await;
    assert!(response["status"]["message"].as_str().expect("refused").contains("frozen"), "{response}");
    scaled["request"]["namespace"] = json!("team-b");
    let response = answer(&scaled).await;
    assert_eq!(response["status"]["code"], 503, "{response}");
    assert!(response["status"]["message"].as_str().expect("refused").contains("team-b"), "{response}");
}

#[tokio::test]
async fn an_object_of_a_collection_is_known_by_its_own_name() {
    let quota = json!({ "metadata": { "name": "tentacular-quota", "namespace": "team-a" } });
    let mut deleted = request(("", "ResourceQuota"), "DELETE", &Value::Null, &quota);
    deleted["request"]["name"] = json!("");
    let response = answer(&deleted).await;
    assert!(response["status"]["message"].as_str().expect("refused").contains("tentacular-quota"), "{response}");
}

#[tokio::test]
async fn what_has_no_rules_is_allowed() {
    let bad = namespace(&json!({"tentacular.io/mode": "777"}));
    for request in [
        request(NAMESPACE, "CREATE", &namespace(&Value::Null), &Value::Null),
        request(NAMESPACE, "DELETE", &Value::Null, &bad),
        request(NAMESPACE, "CONNECT", &Value::Null, &Value::Null),
        request(("example.com", "Thing"), "CREATE", &json!({"spec": {"anything": [1, null]}}), &Value::Null),
    ] {
        let response = answer(&by(CHIEF, request.clone())).await;
        assert_eq!(response["allowed"], true, "{request}");
        assert!(response.get("warnings").is_none(), "{request}");
    }
}

#[tokio::test]
async fn a_malformed_review_is_no_review() {
    let reviewer = reviewer().0;
    let mut version = request(NAMESPACE, "CREATE", &namespace(&Value::Null), &Value::Null);
    version["apiVersion"] = json!("admission.k8s.io/v1beta1");
    let mut kind = request(NAMESPACE, "CREATE", &namespace(&Value::Null), &Value::Null);
    kind["kind"] = json!("Review");
    let mut operation = request(NAMESPACE, "CREATE", &namespace(&Value::Null), &Value::Null);
    operation["request"]["operation"] = json!("PERHAPS");
    let empty = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}).to_string();
    for body in ["", "{}", "[]", "null", &empty, &version.to_string(), &kind.to_string(), &operation.to_string()] {
        assert!(reviewer.answer(body.as_bytes()).await.is_err(), "{body}");
    }
}

#[tokio::test]
async fn a_review_that_does_not_show_what_it_is_about_is_answered_by_nobody() {
    let reviewer = reviewer().0;
    let object = namespace(&Value::Null);
    let of_thing =
        |operation: &str, object: &Value, old: &Value| request(("apps", "Deployment"), operation, object, old);
    let mut nowhere = of_thing("CREATE", &object, &Value::Null);
    nowhere["request"]["namespace"].take();
    for (request, missing) in [
        (of_thing("CREATE", &Value::Null, &Value::Null), "object"),
        (of_thing("UPDATE", &Value::Null, &object), "object"),
        (of_thing("UPDATE", &object, &Value::Null), "oldObject"),
        (of_thing("DELETE", &Value::Null, &Value::Null), "oldObject"),
        (nowhere, "namespace"),
    ] {
        let answer = reviewer.answer(request.to_string().as_bytes()).await;
        let error = answer.expect_err(missing).to_string();
        assert!(error.contains(&format!("has no {missing},")), "{error}");
    }
}

#[tokio::test]
async fn reviews_are_counted_by_kind_rule_and_outcome() {
    let (reviewer, metrics) = reviewer();
    let bad = namespace(&json!({"tentacular.io/mode": "777"}));
    for request in [
        request(NAMESPACE, "CREATE", &bad, &Value::Null),
        by(CHIEF, request(("example.com", "Thing"), "CREATE", &json!({}), &Value::Null)),
    ] {
        reviewer.answer(request.to_string().as_bytes()).await.expect("a review");
    }
    let text = metrics.encode();
    for line in [
        "tentacular_webhook_decisions_total{kind=\"namespace\",rule=\"enclave-mode\",outcome=\"denied\"} 1",
        "tentacular_webhook_decisions_total{kind=\"other\",rule=\"none\",outcome=\"allowed\"} 1",
    ] {
        assert!(text.contains(line), "{text}");
    }
}
