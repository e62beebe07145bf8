//! How long a change of owner or mode takes to be effective: from the API server's answer to the first refusal.

use std::time::{Duration, Instant};

use anyhow::ensure;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tentacular_test_harness::{
    Provider, Stack,
    mcp::{Era, Raw},
};

use crate::report::{Figure, Report};

/// Changes of each kind that are measured.
const CHANGES: usize = 20;
/// When something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);
const ENCLAVE: &str = "bench";
const OWNER: &str = "tentacular.io/enclave-owner";
const MODE: &str = "tentacular.io/mode";

pub(crate) async fn measure(stack: &Stack, provider: &Provider, report: &mut Report) -> anyhow::Result<()> {
    let mcp = stack.client(Era::Stateless).await?;
    mcp.call("enclave_provision", json!({ "name": ENCLAVE, "owner_email": "ann@example.com" })).await?;
    let namespaces = Api::all(stack.installation().control_plane().admin()?);
    let caller = stack.raw_as(&provider.token(&provider.claims("bob", "bob@example.com")));
    let mode = measured(&namespaces, &caller, MODE, ("rwxr-xr-x", "rwx------")).await?;
    let owner = measured(&namespaces, &caller, OWNER, ("bob@example.com", "ann@example.com")).await?;
    report.add(Figure::times("change of mode, until it is effective", &mode).at_most(100.0));
    report.add(Figure::times("change of owner, until it is effective", &owner).at_most(100.0));
    Ok(())
}

/// Lets the caller in by the first value of an annotation, takes it back by the second.
async fn measured(
    namespaces: &Api<Namespace>,
    caller: &Raw,
    annotation: &str,
    (allowing, refusing): (&str, &str),
) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::new();
    for _ in 0..CHANGES {
        annotate(namespaces, annotation, allowing).await?;
        until(caller, true).await?;
        annotate(namespaces, annotation, refusing).await?;
        let changed = Instant::now();
        until(caller, false).await?;
        times.push(changed.elapsed());
    }
    Ok(times)
}

async fn annotate(namespaces: &Api<Namespace>, annotation: &str, value: &str) -> anyhow::Result<()> {
    let patch = json!({ "metadata": { "annotations": { annotation: value } } });
    namespaces.patch(ENCLAVE, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

/// Asks until the caller may, or may no longer.
async fn until(caller: &Raw, allowed: bool) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let answer = caller.call("wf_list", &json!({ "enclave": ENCLAVE })).await?;
        let refusal = answer.tool_error();
        ensure!(
            answer.status == 200 && (refusal.is_empty() || refusal.starts_with("permission denied")),
            "{} {}",
            answer.status,
            answer.text
        );
        if refusal.is_empty() == allowed {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "allowed {allowed} did not come about: {}", answer.text);
    }
}
