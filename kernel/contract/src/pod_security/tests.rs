use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::{
    cases::{Case, cases},
    *,
};

fn judged(level: Level, pod: &Value) -> Vec<Violation> {
    let pod: Pod = serde_json::from_value(pod.clone()).expect("a pod");
    violations(level, "", pod.metadata.annotations.as_ref(), &pod.spec.expect("a spec"))
}

fn rules_and_paths(level: Level, case: &Case) -> Vec<String> {
    let found = judged(level, &case.pod);
    let mut found: Vec<_> = found.iter().map(|found| format!("{}: {}", found.rule.as_str(), found.field)).collect();
    found.sort();
    found
}

fn labels(level: &str) -> Pairs {
    [(ENFORCE.to_owned(), level.to_owned())].into()
}

fn one(pod: &Value) -> String {
    let found = judged(Level::Restricted, pod);
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].to_string()
}

#[test]
fn every_case_of_the_table_is_judged_as_it_says() {
    for case in cases() {
        for level in [Level::Baseline, Level::Restricted] {
            let expected = case.expected(level.as_str());
            assert_eq!(rules_and_paths(level, &case), expected, "{} at {}", case.title(), level.as_str());
        }
        assert_eq!(judged(Level::Privileged, &case.pod), [], "{}", case.title());
    }
}

#[test]
fn every_rule_is_in_the_table_with_pods_that_an_api_server_takes() {
    let mut all = cases();
    all.retain(|case| !case.invalid);
    for rule in Rule::ALL {
        let id = format!("{}: ", rule.as_str());
        let found = ["baseline", "restricted"].map(|level| {
            all.iter().filter(|case| case.expected(level).iter().any(|text| text.starts_with(&id))).count()
        });
        assert!(found[0] + found[1] >= 3, "{id}{found:?}");
    }
}

#[test]
fn a_violation_says_where_what_why_and_what_to_do() {
    let container = json!({ "name": "c", "securityContext": {
        "privileged": true, "allowPrivilegeEscalation": false, "runAsNonRoot": true, "capabilities": { "drop": ["ALL"] },
        "seccompProfile": { "type": "RuntimeDefault" },
    } });
    let mut pod = json!({ "spec": { "containers": [container] } });
    assert_eq!(
        one(&pod),
        "spec.containers[0].securityContext.privileged: true is forbidden by Pod Security baseline:v1.34; leave it out \
         (rule privileged)"
    );
    pod["spec"]["containers"][0]["securityContext"]["privileged"] = json!(null);
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(null);
    assert_eq!(
        one(&pod),
        "spec.containers[0].securityContext.allowPrivilegeEscalation: it is not set, but has to be by Pod Security \
         restricted:v1.34; set it to false (rule allowPrivilegeEscalation)"
    );
}

#[test]
fn a_path_begins_with_what_the_caller_gives() {
    let annotations = [("container.apparmor.security.beta.kubernetes.io/c".to_owned(), "unconfined".to_owned())];
    let spec = PodSpec { host_pid: Some(true), ..PodSpec::default() };
    let found = violations(Level::Baseline, "spec.template.", Some(&annotations.into()), &spec);
    assert_eq!(
        found.iter().map(|found| found.field.as_str()).collect::<Vec<_>>(),
        [
            "spec.template.metadata.annotations[\"container.apparmor.security.beta.kubernetes.io/c\"]",
            "spec.template.spec.hostPID",
        ]
    );
}

#[test]
fn a_volume_without_a_source_that_is_known_is_not_restricted() {
    let pod = json!({ "spec": { "containers": [], "volumes": [{ "name": "v" }] } });
    let text = one(&pod);
    assert!(text.starts_with("spec.volumes[0]: \"v\""), "{text}");
    assert_eq!(judged(Level::Baseline, &pod), []);
}

#[test]
fn a_long_value_is_cut() {
    let pod = json!({ "spec": { "containers": [], "securityContext": { "sysctls": [
        { "name": "ä".repeat(1000), "value": "" },
    ] } } });
    let text = one(&pod);
    assert!(text.contains("ä…") && text.chars().count() < 400, "{text}");
}

#[test]
fn a_namespace_enforces_what_its_label_says() {
    assert_eq!(Level::enforced(&Pairs::new()), Level::Privileged);
    for level in [Level::Privileged, Level::Baseline, Level::Restricted] {
        assert_eq!(Level::enforced(&labels(level.as_str())), level);
    }
    assert_eq!(Level::enforced(&labels("Baseline")), Level::Restricted);
}
