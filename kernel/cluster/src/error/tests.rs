//! How answers of the API server are sorted and told.

use serde_json::json;

use super::*;

fn about(kind: &str, name: Option<&str>) -> About {
    About {
        kind: kind.to_owned(),
        plural: format!("{}s", kind.to_lowercase()),
        namespace: Some("team-a".to_owned()),
        name: name.map(str::to_owned),
    }
}

fn status(code: u16, reason: &str, message: &str) -> Status {
    Status::failure(message, reason).with_code(code)
}

fn sorted(code: u16, reason: &str) -> Error {
    Error::from_status(&about("Deployment", Some("report")), &status(code, reason, "because"))
}

#[test]
fn each_answer_has_its_class() {
    assert!(sorted(404, "NotFound").is_not_found());
    assert!(matches!(sorted(409, "AlreadyExists"), Error::AlreadyExists { .. }));
    assert!(sorted(409, "Conflict").is_conflict());
    assert!(sorted(403, "Forbidden").is_forbidden());
    for (code, reason) in [(422, "Invalid"), (400, "BadRequest"), (413, "RequestEntityTooLarge"), (415, "")] {
        assert!(matches!(sorted(code, reason), Error::Invalid { .. }), "{code}");
    }
    for (code, reason) in [(500, "InternalError"), (503, ""), (504, "Timeout"), (429, "TooManyRequests"), (408, "")] {
        assert!(sorted(code, reason).is_unavailable(), "{code}");
    }
    assert!(matches!(sorted(410, "Expired"), Error::Expired { .. }));
    assert!(matches!(sorted(401, "Unauthorized"), Error::Other { .. }));
}

#[test]
fn a_kind_that_is_not_served_is_no_missing_object() {
    let sorted = |message| Error::from_status(&about("Plant", None), &status(404, "", message));
    assert!(sorted("404 page not found\n").is_not_served());
    assert!(matches!(sorted("404 Not Found: nginx"), Error::Other { .. }));
}

#[test]
fn a_field_of_the_wrong_type_is_no_outage() {
    let told =
        "failed to create typed patch object (a/b; apps/v1, Kind=Deployment): .spec.replicas: expected numeric";
    let error = Error::from_status(&about("Deployment", Some("b")), &status(500, "", told));
    assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
}

#[test]
fn only_a_429_promises_that_nothing_was_done() {
    assert_eq!(sorted(429, "TooManyRequests").retry_after(), Some(Duration::from_secs(1)));
    assert_eq!(sorted(503, "ServiceUnavailable").retry_after(), None);
    let asked: Status =
        serde_json::from_value(json!({ "code": 429, "details": { "retryAfterSeconds": 3 } })).unwrap();
    let error = Error::from_status(&about("Pod", None), &asked);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3)));
}

#[test]
fn the_text_names_the_object() {
    assert_eq!(sorted(404, "NotFound").to_string(), "Deployment team-a/report does not exist");
    let refused = Error::from_status(&about("Deployment", None), &status(403, "Forbidden", "no list"));
    assert_eq!(refused.to_string(), "the Kubernetes API refused access to deployments in team-a: no list");
}

#[test]
fn a_missing_namespace_is_named_as_such() {
    let answer = json!({ "code": 404, "reason": "NotFound", "details": { "kind": "namespaces", "name": "team-a" } });
    let answer: Status = serde_json::from_value(answer).unwrap();
    let error = Error::from_status(&about("Deployment", Some("report")), &answer);
    assert_eq!(error.to_string(), "Namespace team-a does not exist");
}

#[test]
fn the_content_of_a_secret_is_not_told() {
    let answer = json!({
        "code": 422, "reason": "Invalid", "message": "data[x]: Invalid value: \"hunter2\"",
        "details": { "causes": [{ "reason": "FieldValueInvalid", "message": "\"hunter2\"", "field": "data[x]" }] },
    });
    let answer: Status = serde_json::from_value(answer).unwrap();
    let text = Error::from_status(&about("Secret", Some("s")), &answer).to_string();
    assert_eq!(text, "Secret team-a/s is invalid: data[x]: FieldValueInvalid");
    let error = serde_json::from_str::<u8>("\"hunter2\"").unwrap_err();
    assert!(error.to_string().contains("hunter2"));
    assert!(!Error::unreadable(&about("Secret", Some("s")), &error).to_string().contains("hunter2"));
}

#[test]
fn what_is_invalid_is_told_cause_by_cause() {
    let answer = json!({
        "code": 422, "reason": "Invalid", "message": "Deployment.apps \"report\" is invalid: [a very long text]",
        "details": { "causes": [
            { "reason": "FieldValueInvalid", "field": "spec.replicas", "message": "Invalid value: -1: must be more" },
            { "reason": "FieldValueRequired", "field": "spec.selector", "message": "Required value" },
        ] },
    });
    let answer: Status = serde_json::from_value(answer).unwrap();
    let error = Error::from_status(&about("Deployment", Some("report")), &answer);
    assert_eq!(
        error.to_string(),
        "Deployment team-a/report is invalid: spec.replicas: Invalid value: -1: must be more; spec.selector: Required value"
    );
    let Error::Invalid { causes, .. } = error else { panic!("{error:?}") };
    assert_eq!(causes[1].field, "spec.selector");
    assert_eq!(causes[1].reason, "FieldValueRequired");
}

#[test]
fn a_namespace_that_ends_is_told_apart_from_a_missing_right() {
    let answer = |cause: &str| {
        let cause = json!({ "reason": cause, "field": "metadata.namespace", "message": "it is being terminated" });
        let answer = json!({ "code": 403, "reason": "Forbidden", "details": { "causes": [cause] } });
        Error::from_status(&about("Lease", Some("x")), &serde_json::from_value(answer).unwrap())
    };
    assert!(matches!(answer("NamespaceTerminating"), Error::Terminating { .. }));
    assert!(answer("Other").is_forbidden());
}
