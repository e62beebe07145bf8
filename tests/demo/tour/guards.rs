//! What keeps others out: who has no token, who has no right, what goes around the server; and what an audit says.

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use serde_json::{from_value, json};
use tentacular_test_harness::mcp::{Mcp, Raw};

use crate::{
    shares,
    story::Story,
    tentacle,
    world::{self, ENCLAVE, World},
};

pub(super) async fn stranger_without_token(story: &mut Story, world: &World) -> anyhow::Result<()> {
    let answer = Raw::new(world.stack.url(), None).call("enclave_list", &json!({})).await?;
    ensure!(answer.status == 401, "without a token the answer is HTTP {}: {}", answer.status, answer.text);
    story.step("a client without a token gets HTTP 401");
    Ok(())
}

pub(super) async fn stranger_with_token(story: &mut Story, world: &World) -> anyhow::Result<()> {
    let eve = world.client(world::STRANGER).await?;
    let seen = eve.call("wf_list", json!({})).await?;
    ensure!(seen["workflows"] == json!([]), "wf_list shows the stranger {seen}");
    let refusal = eve.refusal("wf_run", tentacle::place()).await?;
    story.step(&format!("Eve signs in, but is no member: she sees no tentacles, and wf_run says: {refusal}"));
    Ok(())
}

/// The cluster's administrator goes around the server.
pub(super) async fn pod(story: &mut Story, world: &World) -> anyhow::Result<()> {
    let secret = format!("tentacular-exoskeleton-{}", shares::NAME);
    let pod: Pod = from_value(json!({
        "metadata": { "name": "thief" },
        "spec": {
            "automountServiceAccountToken": false,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65534, "seccompProfile": { "type": "RuntimeDefault" },
            },
            "containers": [{
                "name": "thief", "image": "busybox",
                "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
                "volumeMounts": [{ "name": "passwords", "mountPath": "/passwords" }],
            }],
            "volumes": [{ "name": "passwords", "secret": { "secretName": secret } }],
        },
    }))?;
    let admin = world.stack.installation().control_plane().admin()?;
    match Api::<Pod>::namespaced(admin, ENCLAVE).create(&PostParams::default(), &pod).await {
        Err(kube::Error::Api(status)) => {
            ensure!(
                status.message.contains("webhook.tentacular.io"),
                "not the webhook refused it: {}",
                status.message
            );
            let (_, why) = status.message.split_once("denied the request: ").context("the refusal says no reason")?;
            story.step(&format!(
                "cluster-admin makes a pod that mounts {}'s passwords, and the webhook refuses it: {}",
                shares::NAME,
                why.trim()
            ));
            Ok(())
        }
        Err(error) => Err(error).context("the API server did not answer"),
        Ok(_) => bail!("the webhook let a pod pass that mounts another tentacle's Secret"),
    }
}

pub(super) async fn audits(story: &mut Story, ann: &Mcp) -> anyhow::Result<()> {
    for audit in ["audit_rbac", "audit_netpol", "audit_psa"] {
        let found = ann.call(audit, json!({ "enclave": ENCLAVE })).await?;
        ensure!(found["findings"] == json!([]), "{audit} finds {found}");
    }
    for tentacle in [tentacle::NAME, shares::NAME] {
        let found = ann.call("audit_resources", json!({ "enclave": ENCLAVE, "workflowName": tentacle })).await?;
        ensure!(found["overall"] == "pass", "audit_resources finds {found}");
    }
    story.step("audits of rights, network policies, Pod Security and both tentacles' resources: no findings");
    Ok(())
}
