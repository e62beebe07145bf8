//! `audit_psa`.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tentacular_test_harness::until;

use super::ground::{Place, recorded};
use crate::pod_security::cases::cases;

/// A Deployment of such pods that its controller leaves alone.
fn deployment(name: &str, pod: &Value) -> Value {
    let mut metadata = pod["metadata"].clone();
    metadata["labels"] = json!({ "app": name });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": {
            "paused": true, "selector": { "matchLabels": { "app": name } },
            "template": { "metadata": metadata, "spec": pod["spec"] },
        },
    })
}

/// A template that level `restricted` allows, but for the user.
fn as_root() -> Value {
    json!({ "spec": {
        "restartPolicy": "Never",
        "securityContext": { "runAsNonRoot": true, "runAsUser": 0, "seccompProfile": { "type": "RuntimeDefault" } },
        "containers": [{
            "name": "engine", "image": "localhost/engine:1",
            "resources": { "requests": { "cpu": "10m", "memory": "16Mi" } },
            "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
        }],
    } })
}

/// Creates an object once the API server has seen that the namespace's level is another.
async fn created(place: &Place, object: &Value) -> anyhow::Result<()> {
    until("it is created", async || place.create(object.clone()).await).await
}

#[tokio::test]
async fn e2e_audits_psa_says_nothing_against_a_fresh_enclave_and_what_the_client_deploys() -> anyhow::Result<()> {
    let place = Place::new("psa").await?;
    let fresh = place.audit("audit_psa").await?;
    assert_eq!((&fresh["compliant"], &fresh["findings"]), (&json!(true), &json!([])), "{fresh}");
    for mode in ["enforce", "audit", "warn"] {
        assert_eq!(fresh[mode], "restricted", "{fresh}");
    }
    for arguments in recorded(&place.enclave) {
        place.bearer.call("wf_apply", arguments).await?;
    }
    let audit = place.audit("audit_psa").await?;
    assert_eq!((&audit["compliant"], &audit["findings"]), (&json!(true), &json!([])), "{audit}");
    assert_eq!(audit["templates"], 2, "{audit}");
    Ok(())
}

#[tokio::test]
async fn e2e_audits_psa_finds_what_a_namespace_does_not_enforce_and_mends_it() -> anyhow::Result<()> {
    let place = Place::new("psa-labels").await?;
    let key = |mode: &str| format!("pod-security.kubernetes.io/{mode}");
    let labels = json!({
        key("enforce"): "baseline", key("enforce-version"): "v1.25", key("audit"): null, key("warn"): "privileged",
    });
    let object = json!({ "apiVersion": "v1", "kind": "Namespace", "name": place.enclave });
    let patch = json!({ "metadata": { "labels": labels } });
    place.mend(&json!({ "type": "merge", "object": object, "patch": patch })).await?;
    let audit = place.audit("audit_psa").await?;
    assert_eq!(
        (&audit["compliant"], &audit["enforce"], &audit["audit"]),
        (&json!(false), &json!("baseline"), &json!(""))
    );
    let of = |severity: &str, mode: &str| {
        format!("{severity} Namespace/{} metadata.labels[{:?}]", place.enclave, key(mode))
    };
    let expected = [of("medium", "enforce"), of("medium", "warn"), of("low", "audit"), of("low", "enforce-version")];
    assert_eq!(place.findings("audit_psa").await?, expected);
    assert_eq!(place.mend_all("audit_psa").await?.len(), 4);
    assert_eq!(place.audit("audit_psa").await?["compliant"], true);
    Ok(())
}

#[tokio::test]
async fn e2e_audits_psa_mends_every_template_that_the_api_server_takes() -> anyhow::Result<()> {
    let place = Place::new("psa-templates").await?;
    let mut rules = BTreeSet::new();
    for (number, case) in cases().iter().enumerate() {
        // Some pods of the table are no templates.
        if place.create(deployment(&format!("case-{number}"), &case.pod)).await.is_ok() {
            rules.extend(case.expected("restricted").iter().map(|text| text.split(':').next().unwrap().to_owned()));
        }
    }
    assert!(rules.len() >= 14, "of 15 rules of restricted: {rules:?}");
    let arguments = json!({ "enclave": place.enclave, "limit": 1000 });
    let before = place.bearer.call("audit_psa", arguments.clone()).await?;
    let findings = before["findings"].as_array().unwrap();
    let found: BTreeSet<_> =
        findings.iter().map(|finding| finding["message"].as_str().unwrap().split("(rule ").nth(1).unwrap()).collect();
    assert_eq!(found.len(), rules.len(), "{found:?} {rules:?}");
    let mut mended = BTreeSet::new();
    for finding in findings {
        if mended.insert(finding["object"].as_str().unwrap().to_owned()) {
            place.mend(&finding["remedy"]).await.map_err(|error| error.context(finding.to_string()))?;
        }
    }
    let after = place.bearer.call("audit_psa", arguments).await?;
    assert_eq!((&after["findings"], &after["compliant"]), (&json!([]), &json!(true)), "{after}");
    Ok(())
}

#[tokio::test]
async fn e2e_audits_psa_finds_jobs_and_pods_that_run_in_spite_of_the_level() -> anyhow::Result<()> {
    let place = Place::new("psa-pods").await?;
    let enforce = |level: &str| {
        let labels = json!({ "pod-security.kubernetes.io/enforce": level });
        let object = json!({ "apiVersion": "v1", "kind": "Namespace", "name": place.enclave });
        json!({ "type": "merge", "object": object, "patch": { "metadata": { "labels": labels } } })
    };
    place.mend(&enforce("privileged")).await?;
    let spec = as_root()["spec"].take();
    // The harness would let a bound pod of a Job succeed at once.
    let mut gated = spec.clone();
    gated["schedulingGates"] = json!([{ "name": "tests.tentacular.io/wait" }]);
    let (template, name) = (json!({ "spec": gated }), |name: &str| json!({ "name": name }));
    for object in [
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": name("bare"), "spec": spec }),
        json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": name("once"), "spec": { "template": template } }),
        json!({
            "apiVersion": "batch/v1", "kind": "CronJob", "metadata": name("daily"),
            "spec": { "schedule": "0 0 1 1 *", "jobTemplate": { "spec": { "template": template } } },
        }),
    ] {
        created(&place, &object).await?;
    }
    place.mend(&enforce("restricted")).await?;
    let field = "spec.securityContext.runAsUser";
    let mended = place.mend_all("audit_psa").await?;
    assert_eq!(
        mended,
        [
            format!("medium CronJob/daily spec.jobTemplate.spec.template.{field}"),
            format!("medium Job/once spec.template.{field}"),
            format!("medium Pod/bare {field}"),
        ]
    );
    Ok(())
}

#[tokio::test]
async fn e2e_audits_psa_shows_nothing_of_tentacles_that_the_caller_cannot_read() -> anyhow::Result<()> {
    let place = Place::new("psa-hidden").await?;
    let mut arguments = recorded(&place.enclave).pop().unwrap();
    arguments["mode"] = json!("private");
    place.person("ann").await?.call("wf_apply", arguments.clone()).await?;
    let patch = json!({ "spec": { "template": { "spec": { "securityContext": { "runAsUser": 0 } } } } });
    let object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "namespace": place.enclave, "name": arguments["name"],
    });
    place.worsen(&json!({ "type": "merge", "object": object, "patch": patch })).await?;
    let here = json!({ "enclave": place.enclave });
    let owner = place.person("ann").await?.call("audit_psa", here.clone()).await?;
    assert_eq!((owner["findings"].as_array().unwrap().len(), owner.get("warnings")), (1, None), "{owner}");
    let member = place.person("bob").await?.call("audit_psa", here).await?;
    assert_eq!((&member["findings"], &member["compliant"]), (&json!([]), &json!(false)), "{member}");
    assert!(member["warnings"][0].as_str().unwrap().contains("may not read"), "{member}");
    assert!(!member.to_string().contains(arguments["name"].as_str().unwrap()), "{member}");
    Ok(())
}
