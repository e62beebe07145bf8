//! Clients that go on calling while something happens to the server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::ensure;
use serde_json::{Value, json};
use tentacular_test_harness::{mcp::Raw, tls};
use tokio::{
    task::JoinSet,
    time::{Instant, interval, sleep, timeout},
};

use crate::release::Release;

/// Five clients with four calls a second each make twenty.
const CLIENTS: usize = 5;
const BETWEEN: Duration = Duration::from_millis(250);
/// How long a client waits before it makes a failed call again: a node takes a second or two to see that a replica is gone.
const PAUSE: Duration = Duration::from_secs(5);
/// No call of these takes longer unless it hangs.
const PATIENCE: Duration = Duration::from_mins(2);

/// The running clients.
pub(crate) struct Load {
    clients: JoinSet<Made>,
    ending: Arc<AtomicBool>,
    since: Instant,
}

/// What came of the calls.
#[derive(Debug, Default)]
pub(crate) struct Made {
    pub(crate) calls: usize,
    /// Calls that went well only when they were made again.
    pub(crate) repeated: Vec<String>,
    pub(crate) failed: Vec<String>,
}

impl Load {
    /// Clients that call each of the four parts in turn through the ports of both nodes. Some keep their connections, others
    /// make one for each call. `tentacle` is one that they may run. A call that fails is made once more where `again`.
    pub(crate) async fn start(release: &Release, tentacle: &Value, again: bool) -> anyhow::Result<Self> {
        let token = release.token().await?;
        let ending = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for index in 0..CLIENTS {
            let mut raw = Raw::new(&release.url(index % 2)?, Some(&token));
            if index % 3 == 0 {
                raw = raw.over(tls::plain().pool_max_idle_per_host(0).build()?);
            }
            clients.spawn(client(raw, calls(tentacle), index, again, Arc::clone(&ending)));
        }
        Ok(Self { clients, ending, since: Instant::now() })
    }

    /// Ends them and says what came of it. Fails when they made fewer calls than they should have.
    pub(crate) async fn end(mut self) -> anyhow::Result<Made> {
        self.ending.store(true, Ordering::Relaxed);
        let seconds = self.since.elapsed().as_secs();
        let mut all = Made::default();
        while let Some(made) = self.clients.join_next().await {
            let made = made?;
            all.calls += made.calls;
            all.repeated.extend(made.repeated);
            all.failed.extend(made.failed);
        }
        ensure!(all.calls as u64 > seconds, "{} calls in {seconds} s", all.calls);
        Ok(all)
    }
}

/// One for each part: the kernel alone, the registrar, the scheduler, the auditor.
fn calls(tentacle: &Value) -> Vec<(&'static str, Value)> {
    let enclave = json!({ "enclave": tentacle["enclave"] });
    vec![
        ("enclave_info", enclave.clone()),
        ("wf_run", tentacle.clone()),
        ("wf_status", tentacle.clone()),
        ("permissions_get", tentacle.clone()),
        ("wf_schedule", tentacle.clone()),
        ("wf_pods", enclave),
    ]
}

async fn client(
    raw: Raw,
    calls: Vec<(&'static str, Value)>,
    index: usize,
    again: bool,
    ending: Arc<AtomicBool>,
) -> Made {
    let mut made = Made::default();
    let mut ticks = interval(BETWEEN);
    for (tool, arguments) in calls.iter().cycle().skip(index) {
        if ending.load(Ordering::Relaxed) {
            break;
        }
        ticks.tick().await;
        made.calls += 1;
        let Err(error) = call(&raw, tool, arguments).await else { continue };
        let told = format!("client {index}, {tool}: {error:#}");
        if again {
            sleep(PAUSE).await;
        }
        if again && call(&raw, tool, arguments).await.is_ok() {
            made.repeated.push(told);
        } else {
            made.failed.push(told);
        }
    }
    made
}

async fn call(raw: &Raw, tool: &str, arguments: &Value) -> anyhow::Result<()> {
    let answer = timeout(PATIENCE, raw.call(tool, arguments)).await??;
    let json = answer.json();
    ensure!(answer.status == 200 && json["result"]["content"].is_array(), "{} {}", answer.status, answer.text);
    ensure!(json["result"]["isError"] != true, "{}", answer.tool_error());
    Ok(())
}
