use std::slice::from_ref;

use serde_json::{Value, json};
use tentacular_contract::pod_security::Version;
use tokio::sync::watch;

use super::*;

fn settings() -> Settings {
    let domain = Some("apps.example.org".to_owned());
    Settings {
        installation: Installation { ingress_domain: domain, version: watch::channel(Version::NEWEST).1 },
        server_namespace: "tentacular-system".to_owned(),
        namespace: None,
    }
}

fn report(files: &[&[Value]], settings: &Settings) -> Report {
    let source = |(number, objects): (usize, &&[Value])| {
        let documents: Vec<_> = objects.iter().map(Value::to_string).collect();
        Source { file: format!("{number}.yaml"), bytes: Ok(documents.join("\n---\n").into_bytes()) }
    };
    check(&files.iter().enumerate().map(source).collect::<Vec<_>>(), settings)
}

/// `severity Kind/name rule field`
fn found(files: &[&[Value]], settings: &Settings) -> Vec<String> {
    let report = report(files, settings);
    let told = report.findings.iter().map(|line| {
        let [kind, name, field] = [&line.kind, &line.name, &line.field].map(|text| text.clone().unwrap_or_default());
        format!("{:?} {kind}/{name} {} {field}", line.severity, line.rule.unwrap_or_default())
    });
    told.collect()
}

fn namespace(name: &str, level: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": {
        "app.kubernetes.io/managed-by": "tentacular", "pod-security.kubernetes.io/enforce": level,
    } } })
}

/// A Deployment that level `baseline` allows, and `restricted` does not.
fn deployment(name: &str, namespace: Option<&str>) -> Value {
    let container = json!({ "name": "engine", "image": "engine:1", "securityContext": {
        "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } } });
    json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name, "namespace": namespace }, "spec": {
        "selector": { "matchLabels": { "app": name } },
        "template": { "metadata": { "labels": { "app": name } }, "spec": {
            "securityContext": { "seccompProfile": { "type": "RuntimeDefault" } }, "containers": [container],
        } },
    } })
}

fn ingress(host: &str) -> Value {
    json!({ "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": { "name": "web" },
        "spec": { "rules": [{ "host": host }] } })
}

fn root(name: &str) -> String {
    format!("Refused Deployment/{name} runAsNonRoot spec.template.spec.containers[0].securityContext.runAsNonRoot")
}

#[test]
fn a_namespace_that_is_not_in_the_files_is_an_enclave_of_level_restricted() {
    assert_eq!(found(&[&[deployment("a", None)]], &settings()), [root("a")]);
    assert_eq!(found(&[&[deployment("a", Some("team-a"))]], &settings()), [root("a")]);
}

#[test]
fn objects_are_held_to_the_level_of_their_namespace_in_any_file() {
    let (baseline, restricted) = (namespace("team-a", "baseline"), namespace("team-b", "restricted"));
    let objects = [deployment("a", Some("team-a")), deployment("b", Some("team-b"))];
    assert_eq!(found(&[&objects, &[baseline.clone(), restricted]], &settings()), [root("b")]);
    let (ours, nowhere) = (deployment("a", Some("team-a")), deployment("c", None));
    assert_eq!(found(&[&[ours.clone(), nowhere.clone()], from_ref(&baseline)], &settings()), [""; 0]);
    let other = Settings { namespace: Some("team-c".to_owned()), ..settings() };
    assert_eq!(found(&[&[ours, nowhere], from_ref(&baseline)], &other), [root("c")]);
}

#[test]
fn hosts_are_those_of_the_enclave() {
    let host = ingress("x.team-a.apps.example.org");
    let refused = "Refused Ingress/web own-host spec.rules[0].host";
    assert_eq!(found(&[from_ref(&host)], &settings()), [refused]);
    assert_eq!(found(&[&[host.clone(), namespace("team-a", "restricted")]], &settings()), [""; 0]);
    let named = Settings { namespace: Some("team-a".to_owned()), ..settings() };
    assert_eq!(found(&[from_ref(&host)], &named), [""; 0]);
}

#[test]
fn what_is_no_enclave_is_named_once_and_not_looked_at() {
    let mut plain = namespace("team-a", "restricted");
    plain["metadata"]["labels"]["app.kubernetes.io/managed-by"] = json!("Helm");
    let objects = [plain, deployment("a", None), deployment("b", Some("team-a")), deployment("c", Some("team-b"))];
    assert_eq!(found(&[&objects], &settings()), ["Note Namespace/team-a  ".to_owned(), root("c")]);
    assert_eq!(report(&[&objects], &settings()).objects, 1);
    for name in ["kube-system", "tentacular-system"] {
        let objects = [namespace(name, "restricted"), deployment("a", Some(name))];
        assert_eq!(found(&[&objects], &settings()), [format!("Note Namespace/{name}  ")]);
    }
}

#[test]
fn annotations_are_read_and_people_are_not_asked_about() {
    let mut team = namespace("team-a", "baseline");
    team["metadata"]["annotations"] =
        json!({ "tentacular.io/enclave-owner": "nobody", "tentacular.io/mode": "private" });
    let mut scheduled = deployment("a", None);
    scheduled["metadata"]["annotations"] = json!({ "tentacular.io/cron-schedule": "0 9 * * 1,5,30 2 * * *" });
    scheduled["metadata"]["labels"] = json!({ "tentacular.io/release": "a" });
    let expected = [
        "Refused Namespace/team-a enclave-owner metadata.annotations[tentacular.io/enclave-owner]",
        "Warning Deployment/a cron-schedule metadata.annotations[tentacular.io/cron-schedule]",
    ];
    let unlabelled: Vec<_> = found(&[&[team, scheduled]], &settings());
    assert!(expected.iter().all(|line| unlabelled.iter().any(|found| found == line)), "{unlabelled:?}");
}

#[test]
fn a_finding_is_a_line_and_the_worst_is_what_counts() {
    let bad = Source { file: "bad.yaml".to_owned(), bytes: Ok(b"a:\n b: 1\n b: 2\n".to_vec()) };
    let gone = Source { file: "gone.yaml".to_owned(), bytes: Err(io::Error::from(io::ErrorKind::NotFound)) };
    let text = format!("# our app\n{}\n", deployment("a\u{1b}[2Jb", None));
    let good = Source { file: "app.yaml".to_owned(), bytes: Ok(text.into_bytes()) };
    let report = check(&[bad, gone, good], &settings());
    assert_eq!(report.worst(), Some(Severity::Unreadable));
    let text = report.to_string();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[0].starts_with("bad.yaml:3: unreadable: is no YAML: duplicate"), "{text}");
    assert!(lines[1].starts_with("gone.yaml: unreadable: cannot be read: "), "{text}");
    assert!(lines[2].starts_with("app.yaml:2: refused: Deployment/ab: spec.template.spec."), "{text}");
    assert!(lines[2].ends_with("(rule runAsNonRoot)"), "{text}");
    assert_eq!(lines[3], "objects: 1, refusals: 1, warnings: 0, notes: 0, unreadable: 2");
    let json = serde_json::to_value(&report).expect("JSON");
    assert_eq!(json["objects"], 1);
    assert_eq!(json["findings"][2]["severity"], "refused");
    assert_eq!(json["findings"][2]["line"], 2);
    assert_eq!(json["findings"][1].get("line"), None);
    assert_eq!(Report::default().worst(), None);
}

#[test]
fn the_examples_pass() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/word-count/manifests.json");
    let source = Source { file: path.to_owned(), bytes: std::fs::read(path) };
    let report = check(&[source], &settings());
    assert_eq!((report.objects > 2, report.worst()), (true, None), "{report}");
}
