//! A tour of the running system: a real control plane, the five processes, an example tentacle, a real MCP client.
//! Afterwards everything stays up for whoever wants to try it, until Ctrl-C.

mod shares;

use std::{path::Path, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context as _, bail, ensure};
use clap::Parser;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use tentacular_demo::{backing::Services, say};
use tentacular_test_harness::{
    ControlPlane, Installation, Part, Stack,
    mcp::{Era, Mcp},
    stack::Options,
};
use tokio::time::{Instant, sleep};

/// Shows tentacular-mcp at work, then keeps it running.
#[derive(Debug, Parser)]
struct Args {
    /// End after the tour.
    #[arg(long)]
    once: bool,
    /// Port of the MCP endpoint on 127.0.0.1; any free one when left out.
    #[arg(long, default_value_t = 0)]
    port: u16,
}

/// The enclave of the tour.
const ENCLAVE: &str = "team-a";
/// Its schedule in the end.
const EVERY_MINUTE: &str = "* * * * *";
/// The tentacle of the tour.
const TENTACLE: &str = "word-count";

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("FAILED: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    let begun = Instant::now();
    say("starting etcd, kube-apiserver and kube-controller-manager on loopback");
    let mut control_plane = ControlPlane::start().await?;
    control_plane.join_node().await?;
    say("installing the chart's accounts and rights, starting and registering the webhook");
    let installation = Arc::new(Installation::into_own(control_plane).await?);
    say("starting the backing services that this machine can have: PostgreSQL, NATS and MinIO");
    let services = Services::start().await?;
    say("starting kernel, registrar, scheduler, auditor and an example tentacle engine");
    let options = Options {
        listen: Some(format!("127.0.0.1:{}", args.port)),
        sidecar_args: [(Part::Registrar, services.registrar_args()?)].into(),
        ..Options::default()
    };
    let stack = Stack::start_with(Arc::clone(&installation), options).await?;
    say(&format!("everything is up after {:.1} s", begun.elapsed().as_secs_f64()));

    let mcp = stack.client(Era::Stateless).await?;
    tour(&mcp).await?;
    webhook(&stack).await?;
    schedule(&mcp).await?;
    shares::show(&stack, &mcp, (ENCLAVE, &manifests()?), &services).await?;
    say("the tour is over");
    if args.once {
        return Ok(());
    }
    say(&format!("MCP_URL={}", stack.url()));
    say(&format!("MCP_TOKEN={}", stack.token()));
    say(&format!("KUBECONFIG={}", installation.control_plane().admin_kubeconfig().display()));
    say(&format!("RUN_DIR={}", stack.run_dir().display()));
    say("press Ctrl-C to end");
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed?,
        ended = stack.first_to_end() => bail!("the {} ended by itself", ended?.name()),
    }
    say("ending");
    Ok(())
}

async fn tour(mcp: &Mcp) -> anyhow::Result<()> {
    let tools = mcp.tools().await?;
    say(&format!("1. an MCP client connects and sees {} tools", tools.len()));

    let arguments = json!({ "name": ENCLAVE, "owner_email": "ann@example.com", "members": ["bob@example.com"] });
    let made = mcp.call("enclave_provision", arguments).await?;
    say(&format!(
        "2. enclave_provision makes {ENCLAVE}, owned by {}, with {} things in it",
        text(&made["owner"]),
        count(&made["resources_created"])
    ));

    let arguments = json!({ "enclave": ENCLAVE, "name": TENTACLE, "manifests": manifests()? });
    let applied = mcp.call("wf_apply", arguments).await?;
    say(&format!("3. wf_apply creates tentacle {TENTACLE}: {} objects", applied["created"]));

    let place = json!({ "enclave": ENCLAVE, "name": TENTACLE });
    until_ready(mcp, &place).await?;
    let listed = mcp.call("wf_list", json!({ "enclave": ENCLAVE })).await?;
    let first = &listed["workflows"][0];
    ensure!(first["name"] == TENTACLE, "wf_list shows {listed}");
    say(&format!(
        "4. wf_list shows {}/{} with mode {}, ready {}",
        ENCLAVE,
        TENTACLE,
        text(&first["mode"]),
        first["ready"]
    ));

    let mut run = place.clone();
    run["input"] = json!({ "text": "one fish two fish red fish blue fish" });
    let ran = mcp.call("wf_run", run).await?;
    ensure!(ran["output"]["success"] == true, "wf_run answers {ran}");
    say(&format!("5. wf_run counts words in {} ms: {}", ran["duration_ms"], ran["output"]["outputs"]["count"]));

    let health = mcp.call("wf_health", place).await?;
    ensure!(health["status"] == "green", "wf_health answers {health}");
    say("6. wf_health says green");
    Ok(())
}

/// What goes around the server meets the webhook.
async fn webhook(stack: &Stack) -> anyhow::Result<()> {
    let admin = stack.installation().control_plane().admin()?;
    let bad = json!({ "metadata": { "annotations": { "tentacular.io/cron-schedule": "61 * * * *" } } });
    let patched = Api::<Deployment>::namespaced(admin, ENCLAVE)
        .patch(TENTACLE, &PatchParams::default(), &Patch::Merge(bad))
        .await;
    match patched {
        Err(kube::Error::Api(status)) => {
            say(&format!("7. a plain Kubernetes client is refused by the webhook: {}", status.message.trim()));
            Ok(())
        }
        Err(error) => Err(error).context("the API server did not answer"),
        Ok(_) => bail!("the webhook let a bad cron annotation pass"),
    }
}

/// A schedule fires without anybody calling.
async fn schedule(mcp: &Mcp) -> anyhow::Result<()> {
    let mut manifests = manifests()?;
    for manifest in manifests.as_array_mut().context("the manifests are no list")? {
        if manifest["kind"] == "Deployment" {
            manifest["metadata"]["annotations"]["tentacular.io/cron-schedule"] = json!(EVERY_MINUTE);
        }
    }
    let place = json!({ "enclave": ENCLAVE, "name": TENTACLE });
    mcp.call("wf_apply", json!({ "enclave": ENCLAVE, "name": TENTACLE, "manifests": manifests })).await?;
    say(&format!("8. wf_apply gives it the schedule {EVERY_MINUTE:?}; waiting for the full minute"));
    let until = Instant::now() + Duration::from_mins(2);
    let run = loop {
        let shown = mcp.call("wf_runs", place.clone()).await?;
        let scheduled = shown["runs"].as_array().into_iter().flatten().filter(|run| run["by"] == "schedule");
        let ended: Vec<_> = scheduled.filter(|run| run["state"] != "claimed").cloned().collect();
        if let [run] = &ended[..] {
            break run.clone();
        }
        ensure!(ended.is_empty() && Instant::now() < until, "wf_runs shows {shown}");
        sleep(Duration::from_millis(200)).await;
    };
    ensure!(run["state"] == "succeeded", "the run of the schedule did not succeed: {run}");
    say(&format!(
        "9. it fired at {}, {} ms late, once; wf_runs shows {}",
        text(&run["instant"]),
        run["lateness_ms"],
        text(&run["state"])
    ));
    Ok(())
}

async fn until_ready(mcp: &Mcp, place: &Value) -> anyhow::Result<()> {
    let until = Instant::now() + Duration::from_mins(1);
    loop {
        let status = mcp.call("wf_status", place.clone()).await?;
        if status["ready"] == true {
            return Ok(());
        }
        ensure!(Instant::now() < until, "{TENTACLE} does not get ready: {status}");
        sleep(Duration::from_millis(50)).await;
    }
}

fn manifests() -> anyhow::Result<Value> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/word-count/manifests.json"));
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(serde_json::from_str(&text)?)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn count(value: &Value) -> usize {
    value.as_array().map_or(0, Vec::len)
}
