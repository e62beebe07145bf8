//! The webhook's account writes its certificate and its CA, and nothing into what the API server asks it.

use serde_json::{Value, json};
use tentacular_test_harness::{Part, installation::SERVER_NAMESPACE};

use super::{
    attempt::{By, all_possible, all_refused, apply, create, delete, get, json_patch, merge, replace},
    place::{admin, refused_by_rbac, thief},
};
use crate::support::unique;

const POLICY: By = By::Policy("tentacular-webhook-configuration");
const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
const OWN: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/tentacular-webhook";

/// The configuration with something changed that the account must not change.
fn changed(stored: &Value) -> Vec<Value> {
    let everything = json!([{ "apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"] }]);
    let elsewhere = json!({ "url": "https://thief.example/admit" });
    let in_entry = [
        ("/rules", everything),
        ("/clientConfig", elsewhere),
        ("/clientConfig", json!({ "service": { "name": "loot", "namespace": "default" } })),
        ("/failurePolicy", json!("Ignore")),
        ("/matchPolicy", json!("Exact")),
        ("/objectSelector", json!({ "matchLabels": { "thief": "yes" } })),
        ("/namespaceSelector", json!({ "matchLabels": { "thief": "yes" } })),
        ("/matchConditions", json!([])),
        ("/timeoutSeconds", json!(30)),
        ("/sideEffects", json!("NoneOnDryRun")),
        ("/admissionReviewVersions", json!(["v1", "v1beta1"])),
        ("/name", json!("loot.tentacular.io")),
    ];
    let mut all = Vec::new();
    for entry in 0..stored["webhooks"].as_array().unwrap().len() {
        for (field, value) in &in_entry {
            let mut object = stored.clone();
            object["webhooks"][entry][&field[1..]] = value.clone();
            all.push(object);
        }
    }
    let mut fewer = stored.clone();
    fewer["webhooks"].as_array_mut().unwrap().pop();
    let mut none = stored.clone();
    none["webhooks"] = json!([]);
    let mut more = stored.clone();
    let mut entry = stored["webhooks"][0].clone();
    entry["name"] = json!("loot.tentacular.io");
    more["webhooks"].as_array_mut().unwrap().push(entry);
    all.extend([fewer, none, more]);
    for (field, value) in [
        ("labels", json!({ "thief": "yes" })),
        ("annotations", json!({ "thief": "yes" })),
        ("finalizers", json!(["thief.io/stay"])),
        ("ownerReferences", json!([{ "apiVersion": "v1", "kind": "Namespace", "name": "loot", "uid": "none" }])),
    ] {
        let mut object = stored.clone();
        object["metadata"][field] = value;
        all.push(object);
    }
    all
}

#[tokio::test]
async fn the_webhook_changes_the_ca_in_its_configuration_and_nothing_else() -> anyhow::Result<()> {
    let (admin, webhook) = (admin().await?, thief(Part::Webhook).await?);
    let mut stored = get(OWN).send(&admin).await?;
    stored["metadata"].as_object_mut().unwrap().remove("managedFields");
    let refused: Vec<_> = changed(&stored).into_iter().map(|object| replace(OWN, object)).collect();
    all_possible(&admin, refused.clone()).await?;
    all_refused(&webhook, refused.into_iter().map(|attempt| (POLICY, attempt))).await?;

    let rules =
        json!([{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"] }]);
    let mut patches = vec![
        json_patch(OWN, json!([{ "op": "replace", "path": "/webhooks/0/rules", "value": rules }])),
        merge(OWN, json!({ "webhooks": null })),
    ];
    let mut applied = stored.clone();
    applied["webhooks"][0]["rules"] = rules;
    patches.push(apply(OWN, applied));
    let powerful = patches.iter().map(|attempt| (POLICY, attempt.clone().all_powerful(Part::Webhook)));
    all_refused(&admin, powerful).await?;
    // The account replaces, and has no right to patch.
    patches.push(json_patch(OWN, json!([{ "op": "remove", "path": "/webhooks/0/clientConfig/caBundle" }])));
    all_possible(&admin, patches.clone()).await?;
    refused_by_rbac(&[Part::Webhook], patches).await?;

    let mut trusting = stored.clone();
    for entry in trusting["webhooks"].as_array_mut().unwrap() {
        entry["clientConfig"]["caBundle"] = json!("");
    }
    all_possible(&webhook, [get(OWN), replace(OWN, stored), replace(OWN, trusting)]).await
}

#[tokio::test]
async fn the_webhook_touches_no_other_configuration_secret_or_lease() -> anyhow::Result<()> {
    let (admin, webhook) = (admin().await?, thief(Part::Webhook).await?);
    let loot = json!({ "metadata": { "name": "loot" } });
    let mutating = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
    let refused = [create(CONFIGURATIONS, loot.clone()), create(mutating, loot.clone()), delete(OWN)];
    all_possible(&admin, refused.clone()).await?;
    refused_by_rbac(&[Part::Webhook], refused.to_vec()).await?;
    let powerful = refused.map(|attempt| (POLICY, attempt.all_powerful(Part::Webhook)));
    all_refused(&admin, powerful).await?;

    let secrets = format!("/api/v1/namespaces/{SERVER_NAMESPACE}/secrets");
    let own = format!("{secrets}/tentacular-webhook-tls");
    let refused = vec![
        get(secrets.clone()),
        create(secrets.clone(), loot),
        merge(own.clone(), json!({})),
        delete(own.clone()),
        delete(secrets),
    ];
    all_possible(&admin, refused.clone()).await?;
    refused_by_rbac(&[Part::Webhook], refused).await?;
    let stored = get(own.clone()).send(&admin).await?;
    all_possible(&webhook, [get(own.clone()), replace(own, stored)]).await?;

    let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{SERVER_NAMESPACE}/leases");
    let lease = |account: Part| format!("{leases}/{}", account.account());
    let schedulers = lease(Part::Scheduler);
    let stored = get(lease(Part::Webhook)).send(&admin).await?;
    let refused = vec![
        get(schedulers.clone()),
        merge(schedulers, json!({})),
        replace(lease(Part::Webhook), stored),
        delete(lease(Part::Webhook)),
    ];
    all_possible(&admin, refused.clone()).await?;
    refused_by_rbac(&[Part::Webhook], refused).await?;
    all_possible(&webhook, [get(lease(Part::Webhook)), merge(lease(Part::Webhook), json!({}))]).await
}

#[tokio::test]
async fn the_webhook_sends_the_questions_nowhere_else() -> anyhow::Result<()> {
    let admin = admin().await?;
    let name = unique("by-service");
    // As in the chart; here the API server reaches the webhook by a URL.
    let service = json!({ "name": "tentacular-webhook", "namespace": SERVER_NAMESPACE, "path": "/review" });
    let rule =
        json!({ "apiGroups": ["thief.io"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["x"] });
    let made = json!({ "metadata": { "name": name }, "webhooks": [{ "name": "by-service.thief.io",
        "clientConfig": { "service": service }, "rules": [rule], "sideEffects": "None",
        "admissionReviewVersions": ["v1"] }] });
    create(CONFIGURATIONS, made).send_for_real(&admin).await?;
    let own = format!("{CONFIGURATIONS}/{name}");
    let put = |field: &str, value: &str| {
        let path = format!("/webhooks/0/clientConfig/{field}");
        json_patch(own.clone(), json!([{ "op": "add", "path": path, "value": value }])).all_powerful(Part::Webhook)
    };
    let elsewhere = [("name", "loot"), ("namespace", "default"), ("path", "/loot")];
    let refused = elsewhere.map(|(field, value)| (POLICY, put(&format!("service/{field}"), value)));
    all_refused(&admin, refused).await?;
    all_possible(&admin, [put("caBundle", "")]).await?;
    delete(own).send_for_real(&admin).await?;
    Ok(())
}
