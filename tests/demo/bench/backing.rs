//! What it costs to give tentacles their shares of backing services: applies of new tentacles with one service each, beside those
//! of tentacles without any.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::try_join_all;
use serde_json::{Value, json};
use tentacular_demo::backing::{Services, manifests};
use tentacular_test_harness::{
    Installation, Part, Stack,
    mcp::{Era, Mcp},
    stack::Options,
};

use crate::report::{Figure, Report, Unit, median, ms, percentile};

/// Callers at once, each with an enclave of its own.
const CALLERS: usize = 8;
/// Tentacles of each caller.
const TENTACLES: usize = 25;

pub(crate) async fn measure(installation: Arc<Installation>, report: &mut Report) -> anyhow::Result<()> {
    let services = Services::start().await?;
    let mut options = Options::default();
    options.sidecar_args.insert(Part::Registrar, services.registrar_args()?);
    let stack = Stack::start_with(installation, options).await?;
    let mcp = stack.client(Era::Stateless).await?;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/word-count/manifests.json");
    let example: Value = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    for caller in 0..CALLERS {
        let arguments = json!({ "name": enclave(caller), "owner_email": "ann@example.com" });
        mcp.call("enclave_provision", arguments).await?;
    }
    let mut without = None;
    let ways = [None].into_iter().chain(services.dependencies().into_iter().map(Some));
    for dependency in ways {
        let begun = Instant::now();
        let callers = (0..CALLERS).map(|caller| apply(&mcp, &example, caller, dependency));
        let times: Vec<Duration> = try_join_all(callers).await?.concat();
        let seconds = begun.elapsed().as_secs_f64();
        let bare = *without.get_or_insert(seconds);
        let named = dependency.unwrap_or("no backing service");
        let what = format!("{} new tentacles with {named}, {CALLERS} at once", CALLERS * TENTACLES);
        let figure = Figure::new(what, seconds, Unit::Seconds).beside("without", bare, seconds / bare);
        report.add(figure.details(format!(
            "an apply {:.0} ms (median), {:.0} ms (p95)",
            median(times.iter().copied().map(ms).collect()),
            ms(percentile(&times, 95))
        )));
    }
    Ok(())
}

fn enclave(caller: usize) -> String {
    format!("shares-{caller}")
}

/// Applies a caller's tentacles, one after the other. They have no pods.
async fn apply(
    mcp: &Mcp,
    example: &Value,
    caller: usize,
    dependency: Option<&'static str>,
) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::new();
    for number in 0..TENTACLES {
        let name = format!("t{number}-{}", dependency.unwrap_or("plain"));
        let manifests = manifests(example, &name, dependency.as_slice(), 0)?;
        let begun = Instant::now();
        mcp.call("wf_apply", json!({ "enclave": enclave(caller), "name": name, "manifests": manifests })).await?;
        times.push(begun.elapsed());
    }
    Ok(times)
}
