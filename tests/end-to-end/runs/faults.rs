//! A ledger that cannot be written holds no run up, and has it in the end.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tentacular_test_harness::{
    FaultProxy, Installation, Part, Stack, background,
    fault_proxy::{Call, Fault},
    mcp::{Era, Mcp},
    stack::Options,
    until,
};
use tokio::task::JoinHandle;

use crate::{
    schedules::world::engine,
    support::{OWN, apply_word_count, own_enclave},
};

/// A stack whose scheduler reaches the API server through a proxy, and the tentacle of an enclave.
struct Faulty {
    stack: Stack,
    proxy: Arc<FaultProxy>,
    mcp: Arc<Mcp>,
    place: Value,
}

impl Faulty {
    async fn new() -> anyhow::Result<Self> {
        let start = async {
            let installation = Installation::shared().await?;
            let proxy = Arc::new(FaultProxy::start(installation.control_plane())?);
            let through = BTreeMap::from([(Part::Scheduler, Arc::clone(&proxy))]);
            let stack = Stack::start_with(
                installation,
                Options { through, enclaves: Some(OWN.to_owned()), ..Options::default() },
            )
            .await?;
            anyhow::Ok((stack, proxy))
        };
        let (stack, proxy) = background().spawn(start).await??;
        let mcp = Arc::new(stack.client(Era::Stateless).await?);
        let enclave = own_enclave(&mcp, "unledgered").await?;
        apply_word_count(&mcp, &enclave).await?;
        Ok(Self { stack, proxy, mcp, place: json!({ "enclave": enclave, "name": "word-count" }) })
    }

    fn fail(&self, which: std::ops::Range<usize>, fault: Fault) {
        let enclave = self.place["enclave"].as_str().unwrap_or_default().to_owned();
        let ledger = move |call: &Call| {
            call.is_write() && call.resource() == "configmaps" && call.namespace() == Some(enclave.as_str())
        };
        self.proxy.fail(which, ledger, fault);
    }

    /// Begins a run of two seconds, and returns once the engine is at it.
    async fn begin(&self) -> anyhow::Result<JoinHandle<anyhow::Result<Value>>> {
        let (mcp, mut arguments) = (Arc::clone(&self.mcp), self.place.clone());
        arguments["input"] = json!({ "sleep_ms": 2000 });
        let running = tokio::spawn(async move { mcp.call("wf_run", arguments).await });
        let enclave = self.place["enclave"].as_str().unwrap_or_default();
        until("it runs", async || {
            ensure!(engine(&self.stack, enclave).await?["inFlight"] == 1);
            Ok(())
        })
        .await?;
        Ok(running)
    }

    /// The only run in the ledger.
    async fn only(&self) -> anyhow::Result<Option<Value>> {
        let mut answer = self.mcp.call("wf_runs", self.place.clone()).await?;
        let runs = answer["runs"].as_array_mut().context("runs")?;
        assert!(runs.len() <= 1, "{runs:?}");
        Ok(runs.pop())
    }
}

#[tokio::test]
async fn e2e_run_that_could_not_be_claimed_is_in_the_ledger_when_it_has_ended() -> anyhow::Result<()> {
    let faulty = Faulty::new().await?;
    faulty.fail(0..usize::MAX, Fault::Status(503, None));
    let running = faulty.begin().await?;
    assert_eq!(faulty.only().await?, None);
    faulty.proxy.start_afresh();
    let ran = running.await??;
    assert_eq!((&ran["success"], ran.get("warnings")), (&json!(true), None), "{ran}");
    let run = faulty.only().await?.context("a run")?;
    assert_eq!((&run["run_id"], &run["state"]), (&ran["run_id"], &json!("succeeded")));
    Ok(())
}

#[tokio::test]
async fn e2e_run_is_answered_before_its_end_could_be_written() -> anyhow::Result<()> {
    let faulty = Faulty::new().await?;
    let running = faulty.begin().await?;
    faulty.fail(0..usize::MAX, Fault::Status(503, None));
    let ran = running.await??;
    let warning = ran["warnings"][0].as_str().unwrap_or_default();
    assert!(ran["success"] == true && warning.contains("ledger does not say yet"), "{ran}");
    assert_eq!(faulty.only().await?.context("a run")?["state"], "claimed");
    faulty.proxy.start_afresh();
    until("it succeeded", async || {
        ensure!(faulty.only().await?.context("a run")?["state"] == "succeeded");
        Ok(())
    })
    .await?;
    assert_eq!(faulty.only().await?.context("a run")?["run_id"], ran["run_id"]);
    Ok(())
}

#[tokio::test]
async fn e2e_run_whose_claim_got_no_answer_is_made_once_and_written_once() -> anyhow::Result<()> {
    let faulty = Faulty::new().await?;
    faulty.fail(0..2, Fault::CloseAfter);
    let ran = faulty.begin().await?.await??;
    assert_eq!((&ran["success"], ran.get("warnings")), (&json!(true), None), "{ran}");
    let run = faulty.only().await?.context("a run")?;
    assert_eq!((&run["run_id"], &run["state"]), (&ran["run_id"], &json!("succeeded")));
    let enclave = faulty.place["enclave"].as_str().unwrap_or_default();
    assert_eq!(engine(&faulty.stack, enclave).await?["totalEvents"], 1);
    Ok(())
}
