//! `tentacular-webhook check` says of objects in files what the running webhook says of them.

use std::{
    collections::BTreeSet,
    io::Write as _,
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use http::{Method, Request};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Client, Resource as _,
    api::{Api, DynamicObject},
    client::Body,
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};
use tentacular_contract::pod_security::Version;
use tentacular_test_harness::{Part, part::INGRESS_DOMAIN};

use crate::support::{client, enclave, stack, word_count};

/// What is said of an object.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    refused: BTreeSet<String>,
    warned: BTreeSet<String>,
}

/// Runs the command on standard input; its status, and what it wrote.
fn check(args: &[&str], input: &str) -> anyhow::Result<(Option<i32>, String)> {
    let mut command = Command::new(Part::Webhook.binary()?);
    command.arg("check").args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = command.spawn()?;
    process.stdin.take().context("no stdin")?.write_all(input.as_bytes())?;
    let output = process.wait_with_output()?;
    Ok((output.status.code(), String::from_utf8(output.stdout)?))
}

/// What the command says of each object, by kind and name.
fn checked(report: &Value, object: &Value) -> Said {
    let of_it = |finding: &&Value| finding["kind"] == object["kind"] && finding["name"] == object["metadata"]["name"];
    let said = |severity: &str| {
        let findings = report["findings"].as_array().into_iter().flatten().filter(of_it);
        let findings = findings.filter(|finding| finding["severity"] == severity);
        findings.map(|finding| finding["message"].as_str().unwrap_or_default().to_owned()).collect()
    };
    Said { refused: said("refused"), warned: said("warning") }
}

/// What the API server answers to a dry run, of which that is the webhook's which names a rule. `None` where it refuses
/// the object before it asks the webhook.
async fn reviewed(client: &Client, enclave: &str, object: &Value) -> anyhow::Result<Option<Said>> {
    let text = |member: &str| object[member].as_str().unwrap_or_default();
    let (group, version) = text("apiVersion").rsplit_once('/').unwrap_or(("", text("apiVersion")));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, text("kind")));
    let path = format!("{}?dryRun=All", DynamicObject::url_path(&resource, Some(enclave)));
    let request = Request::builder().method(Method::POST).uri(path).header("content-type", "application/json");
    let response = client.send(request.body(Body::from(object.to_string().into_bytes()))?).await?;
    // `299 - "text"` of RFC 7234, with its quotes escaped.
    let warnings = response.headers().get_all("warning").iter().filter_map(|value| {
        let quoted = value.to_str().ok()?.strip_prefix("299 - \"")?.strip_suffix('"')?;
        Some(quoted.replace("\\\"", "\"").replace("\\\\", "\\"))
    });
    let warned = warnings.filter(|warning| warning.contains(" (rule ")).collect();
    let status = response.status();
    let body: Value = serde_json::from_slice(&response.into_body().collect_bytes().await?)?;
    if status.is_success() {
        return Ok(Some(Said { refused: BTreeSet::new(), warned }));
    }
    let message = body["message"].as_str().context("no message")?;
    let Some((_, told)) = message.split_once("webhook.tentacular.io\" denied the request: ") else {
        ensure!(message.contains("violates PodSecurity"), "{object}: {status} {body}");
        return Ok(None);
    };
    Ok(Some(Said { refused: told.lines().map(str::to_owned).collect(), warned }))
}

/// A pod's spec that every level allows, and what is changed in it.
fn pod(changes: &Value) -> Value {
    let mut pod = json!({
        "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
        "containers": [{ "name": "engine", "image": "engine:1", "securityContext": {
            "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } } }],
    });
    for (member, value) in changes.as_object().into_iter().flatten() {
        pod[member] = value.clone();
    }
    pod
}

fn object(api_version: &str, kind: &str, name: &str, rest: &Value) -> Value {
    let mut object = rest.clone();
    object["apiVersion"] = json!(api_version);
    object["kind"] = json!(kind);
    object["metadata"]["name"] = json!(name);
    object
}

fn deployment(name: &str, annotations: &Value, changes: &Value) -> Value {
    let labels = json!({ "app": name });
    let spec = json!({ "selector": { "matchLabels": labels },
        "template": { "metadata": { "labels": labels }, "spec": pod(changes) } });
    object("apps/v1", "Deployment", name, &json!({ "metadata": { "annotations": annotations }, "spec": spec }))
}

/// Objects, and whether each is refused.
fn table() -> Vec<(Value, bool)> {
    [workloads(), others()].concat()
}

fn workloads() -> Vec<(Value, bool)> {
    let schedule = |schedule: &str| json!({ "tentacular.io/cron-schedule": schedule });
    let template = |changes: &Value| json!({ "metadata": { "labels": { "app": "a" } }, "spec": pod(changes) });
    let set = json!({ "spec": { "selector": { "matchLabels": { "app": "a" } }, "serviceName": "a",
        "template": template(&json!({ "hostPID": true, "priorityClassName": "system-node-critical" })) } });
    let job = |changes: &Value| {
        let mut template = template(changes);
        template["spec"]["restartPolicy"] = json!("Never");
        json!({ "spec": { "schedule": "0 * * * *", "jobTemplate": { "spec": { "template": template } } } })
    };
    let token = json!([{ "name": "t", "projected": { "sources": [{ "serviceAccountToken": { "path": "t" } }] } }]);
    let much = json!({ "tentacular.io/mode": "777", "tentacular.io/nodes": "a" });
    let host = json!({ "serviceAccountName": "admin", "serviceAccount": "admin", "hostNetwork": true,
        "securityContext": null, "volumes": token });
    let none = json!({});
    let pod = |changes: Value| json!({ "spec": pod(&changes) });
    vec![
        (deployment("fine", &schedule("nightly=0 2 * * *"), &none), false),
        (deployment("unclear", &schedule("0 9 * * 1,5,30 2 * * *"), &none), false),
        (deployment("never", &schedule("0 25 * * *"), &none), true),
        (deployment("much", &much, &host), true),
        (object("apps/v1", "StatefulSet", "set", &set), true),
        (object("batch/v1", "CronJob", "fine", &job(&none)), false),
        (object("batch/v1", "CronJob", "host", &job(&json!({ "hostIPC": true }))), true),
        (object("v1", "Pod", "fine", &pod(json!({}))), false),
        (object("v1", "Pod", "placed", &pod(json!({ "nodeName": "node-1" }))), true),
        (object("v1", "Pod", "host", &pod(json!({ "hostPID": true }))), true),
    ]
}

fn others() -> Vec<(Value, bool)> {
    let service =
        |kind: &str| json!({ "spec": { "type": kind, "selector": { "app": "a" }, "ports": [{ "port": 80 }] } });
    let web = json!({ "spec": { "rules": [{ "host": "bank.example.org" }] } });
    let claim = |volume: Option<&str>| {
        json!({ "spec": { "volumeName": volume, "accessModes": ["ReadWriteOnce"],
            "resources": { "requests": { "storage": "1Gi" } } } })
    };
    let release = json!({ "tentacular.io/release": "report" });
    let open = json!({ "metadata": { "labels": release }, "spec": { "podSelector": {}, "egress": [{}] } });
    let kept = json!({ "metadata": { "labels": release, "finalizers": ["example.org/mine"] } });
    vec![
        (object("v1", "Service", "fine", &service("ClusterIP")), false),
        (object("v1", "Service", "open", &service("NodePort")), true),
        (object("v1", "Secret", "fine", &json!({ "stringData": { "key": "value" } })), false),
        (object("v1", "ConfigMap", "fine", &json!({ "data": { "key": "value" } })), false),
        (object("v1", "ConfigMap", "kept", &kept), false),
        (object("networking.k8s.io/v1", "Ingress", "web", &web), true),
        (object("networking.k8s.io/v1", "NetworkPolicy", "open", &open), true),
        (object("v1", "PersistentVolumeClaim", "fine", &claim(None)), false),
        (object("v1", "PersistentVolumeClaim", "taken", &claim(Some("pv"))), true),
        (object("v1", "LimitRange", "other", &json!({ "spec": { "limits": [] } })), false),
    ]
}

fn documents<'a>(objects: impl IntoIterator<Item = &'a Value>) -> String {
    objects.into_iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n")
}

#[tokio::test]
async fn files_are_judged_as_the_running_webhook_judges_them() -> anyhow::Result<()> {
    let name = enclave(&client().await?, "checked").await?;
    let admin = stack().await?.installation().control_plane().admin()?;
    let mut namespace = serde_json::to_value(Api::<Namespace>::all(admin.clone()).get(&name).await?)?;
    namespace["apiVersion"] = json!("v1");
    namespace["kind"] = json!("Namespace");
    let table = table();
    let input = documents(table.iter().map(|(object, _)| object).chain([&namespace]));
    let version = Version::of_server(&admin.apiserver_version().await?.git_version);
    let settings = [
        format!("--kubernetes-version={version}"),
        format!("--ingress-domain={INGRESS_DOMAIN}"),
        "--output=json".to_owned(),
    ];
    let args: Vec<_> = settings.iter().map(String::as_str).chain(["-"]).collect();
    let (code, output) = check(&args, &input)?;
    let report: Value = serde_json::from_str(&output)?;
    assert_eq!((code, &report["objects"]), (Some(1), &json!(table.len() + 1)), "{output}");
    let mut before_the_webhook = 0;
    for (object, refused) in &table {
        let checked = checked(&report, object);
        assert_eq!(!checked.refused.is_empty(), *refused, "{object}: {checked:?}");
        match reviewed(&admin, &name, object).await? {
            Some(reviewed) => assert_eq!(checked, reviewed, "{object}"),
            // Of pods, Pod Security of the API server itself comes first.
            None => before_the_webhook += 1,
        }
    }
    assert_eq!(before_the_webhook, 1);
    assert_eq!(checked(&report, &namespace), Said::default());

    let allowed = documents(table.iter().filter(|(_, refused)| !refused).map(|(object, _)| object));
    let (code, output) = check(&["-"], &allowed)?;
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("-:3: warning: Deployment/unclear: metadata.annotations["), "{output}");
    Ok(())
}

#[tokio::test]
async fn a_job_of_ci_learns_by_status_and_lines() -> anyhow::Result<()> {
    let manifests = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/word-count/manifests.json");
    let (code, output) = check(&[manifests], "")?;
    let count = word_count()?.as_array().map_or(0, Vec::len);
    assert_eq!(
        (code, output),
        (Some(0), format!("objects: {count}, refusals: 0, warnings: 0, notes: 0, unreadable: 0\n"))
    );

    let bad = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {type: NodePort, selector: {app: a}}\n";
    let (code, output) = check(&["-"], bad)?;
    let lines: Vec<_> = output.lines().collect();
    assert_eq!((code, lines.len()), (Some(1), 2), "{output}");
    assert!(lines[0].starts_with("-:1: refused: Service/web: spec.type: "), "{output}");
    assert!(lines[0].ends_with("(rule internal-service)"), "{output}");

    let (code, output) = check(&["/nonexistent.yaml", "-"], &format!("{bad}---\na: 1\na: 2\n"))?;
    assert_eq!(code, Some(2), "{output}");
    assert!(output.contains("/nonexistent.yaml: unreadable: cannot be read: "), "{output}");
    assert!(output.contains("-:7: unreadable: ") && output.contains("-:1: refused: "), "{output}");

    let host = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web}\nspec: {rules: [{host: \
                x.team-a.apps.example.org}]}\n";
    let (code, output) = check(&["--ingress-domain=apps.example.org", "--namespace=team-a", "-"], host)?;
    assert_eq!(code, Some(0), "{output}");
    assert_eq!(check(&["-"], host)?.0, Some(1));
    Ok(())
}
