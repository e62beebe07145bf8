//! `audit_resources`, as `tntc audit` calls it.

use serde_json::{Value, json};

use super::ground::{Place, recorded};

/// The recorded call, for a tentacle of that enclave.
fn call(enclave: &str) -> Value {
    json!({
        "enclave": enclave, "workflowName": "rich-flow",
        "expected": { "cronJobCount": 2, "egressRuleCount": 3, "ingressRuleCount": 2, "secrets": ["github.token"] },
    })
}

/// Applies what the client deploys, and a Secret of the keys of `secret` if there are any.
async fn apply(place: &Place, secret: &[&str]) -> anyhow::Result<()> {
    for mut arguments in recorded(&place.enclave) {
        if arguments["name"] == "rich-flow" && !secret.is_empty() {
            let values: serde_json::Map<_, _> =
                secret.iter().map(|&key| (key.to_owned(), json!("hunter2"))).collect();
            let secret = json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "rich-flow-secrets" },
                "stringData": values,
            });
            arguments["manifests"].as_array_mut().unwrap().push(secret);
        }
        place.bearer.call("wf_apply", arguments).await?;
    }
    Ok(())
}

#[tokio::test]
async fn e2e_audits_resources_passes_what_the_client_deployed_as_its_contract_says() -> anyhow::Result<()> {
    let place = Place::new("resources").await?;
    apply(&place, &["github"]).await?;
    let audit = place.bearer.call("audit_resources", call(&place.enclave)).await?;
    assert_eq!(audit["overall"], "pass", "{audit}");
    for part in ["networkPolicy", "secrets", "cronJobs"] {
        assert_eq!(audit[part]["status"], "match", "{audit}");
        for list in ["details", "missing", "extra"] {
            assert!(audit[part][list].is_array(), "{part}.{list}: {audit}");
        }
    }
    assert_eq!(audit["secrets"]["actualKeys"], json!(["rich-flow-secrets.github"]));
    assert_eq!(audit["cronJobs"]["details"], json!(["nightly=0 2 * * *", "working-hours=*/15 9-17 * * 1,3,5"]));
    assert!(!audit.to_string().contains("hunter2"));

    // A contract without secrets has null there.
    let expected = json!({ "secrets": null, "egressRuleCount": 2, "ingressRuleCount": 2, "cronJobCount": 0 });
    let hello = json!({ "namespace": place.enclave, "workflowName": "hello-flow", "expected": expected });
    let audit = place.bearer.call("audit_resources", hello).await?;
    assert_eq!(audit["overall"], "pass", "{audit}");
    Ok(())
}

#[tokio::test]
async fn e2e_audits_resources_names_what_differs_from_the_contract() -> anyhow::Result<()> {
    let place = Place::new("resources-differ").await?;
    apply(&place, &["slack"]).await?;
    let mut arguments = call(&place.enclave);
    arguments["expected"]["egressRuleCount"] = json!(4);
    arguments["expected"]["cronJobCount"] = json!(1);
    let audit = place.bearer.call("audit_resources", arguments).await?;
    assert_eq!(audit["overall"], "fail", "{audit}");
    assert_eq!(audit["networkPolicy"]["status"], "mismatch");
    assert_eq!(audit["networkPolicy"]["missing"], json!(["1 of 4 Egress rules"]));
    assert_eq!(audit["secrets"]["status"], "mismatch");
    assert_eq!(audit["secrets"]["missing"], json!(["github.token"]));
    assert_eq!(audit["secrets"]["extra"], json!(["rich-flow-secrets.slack"]));
    assert_eq!(audit["cronJobs"]["status"], "mismatch");
    assert_eq!(audit["cronJobs"]["extra"].as_array().unwrap().len(), 1, "{audit}");
    let nowhere = json!({ "enclave": place.enclave, "workflowName": "nowhere", "expected": {} });
    let refusal = place.bearer.refusal("audit_resources", nowhere).await?;
    assert!(refusal.contains("nowhere") && refusal.contains("apply it first"), "{refusal}");
    Ok(())
}

#[tokio::test]
async fn e2e_audits_resources_says_what_cuts_a_tentacle_off_and_mends_it() -> anyhow::Result<()> {
    let place = Place::new("resources-off").await?;
    let mut arguments = recorded(&place.enclave).pop().unwrap();
    arguments["manifests"].as_array_mut().unwrap().retain(|manifest| manifest["kind"] != "NetworkPolicy");
    place.bearer.call("wf_apply", arguments).await?;
    place
        .mend(&json!({
            "type": "delete",
            "object": {
                "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "namespace": place.enclave,
                "name": "allow-dns",
            },
        }))
        .await?;
    let arguments = json!({ "enclave": place.enclave, "workflowName": "hello-flow" });
    let audit = place.bearer.call("audit_resources", arguments.clone()).await?;
    assert_eq!(audit["overall"], "fail", "{audit}");
    let mended = place.mend_all_with("audit_resources", arguments.clone()).await?;
    assert_eq!(
        mended,
        ["medium NetworkPolicy/hello-flow-from-server spec.ingress", "medium NetworkPolicy/allow-dns spec.egress",]
    );
    let audit = place.bearer.call("audit_resources", arguments).await?;
    assert_eq!(audit["overall"], "pass", "{audit}");
    assert_eq!(place.findings("audit_netpol").await?, [""; 0], "what mends it opens nothing");
    Ok(())
}
