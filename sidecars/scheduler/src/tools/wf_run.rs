//! `wf_run`: runs a tentacle once and answers with what it answered.

mod entry;

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tentacular_cluster::Cluster;
use tentacular_contract::{
    Authz, Needs, On, Platform,
    limits::{DEADLINE_SECONDS, RUN_SECONDS},
};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};
use tokio::time::Instant;

use self::entry::Entry;
use crate::{
    clock::Clock,
    engine::Engine,
    ledger::{Ledgers, Outcome},
    live::Live,
    run::{Run, Runner, millis},
};

/// How long a run may take when the caller names no limit, in seconds.
const DEFAULT_SECONDS: u64 = 120;
/// Time between two words of progress.
const PROGRESS: Duration = Duration::from_secs(5);

/// The arguments of `wf_run`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// Enclave of the tentacle. May be left out by a caller who owns or is a member of one enclave only.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the enclave in the permit")]
    enclave: Option<String>,
    /// The same as `enclave`.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the enclave in the permit")]
    namespace: Option<String>,
    /// Name of the tentacle.
    #[expect(dead_code, reason = "the kernel reads it and names the tentacle in the permit")]
    name: String,
    /// Arguments of the run, any JSON; an empty object when left out.
    #[serde(default)]
    input: Option<Value>,
    /// Longest time the run may take, in seconds, from 1 to 600; 120 when left out or less than 1. More counts as 600.
    #[serde(default)]
    timeout_seconds: Option<i64>,
}

/// The result of `wf_run`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Ran {
    /// Name of the tentacle.
    name: String,
    /// Enclave of the tentacle.
    enclave: String,
    /// Id of the run, which the tentacle got as header `Tentacular-Run-Id`, and by which `wf_runs` names it.
    run_id: String,
    /// Whether the run went well: the engine answered 200 and its report does not say `success: false`.
    success: bool,
    /// What the engine answered: its report, `{"raw": text}` when that is no JSON object, null when it is empty.
    output: Value,
    /// How long the run took, in milliseconds, waiting for the tentacle to be reachable included.
    duration_ms: u64,
    /// What was not done quite as asked, and what the ledger does not tell of the run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// What the kernel and clients are told of `wf_run`.
pub(crate) fn spec() -> ToolSpec {
    let description = "Runs a tentacle once and waits for its answer. A run that failed is a result with success \
                       false and the engine's report in output; an error means that the run did not begin or its end \
                       is not known. It cannot be cancelled: it goes on when the caller leaves, and wf_runs tells how \
                       it ended. While it goes on, schedules of the tentacle with cron-overlap skip do not fire.";
    ToolSpec::new("wf_run", "Run a tentacle", description, authz())
}

fn authz() -> Authz {
    Authz::new(On::Tentacle, Needs::Execute)
        .enclave_at(&["/enclave", "/namespace"])
        .tentacle_at(&["/name"])
        .not_frozen()
        .within_seconds(DEADLINE_SECONDS)
}

/// The tool.
#[derive(Debug)]
pub(crate) struct WfRun<E, C> {
    pub(crate) cluster: Cluster,
    pub(crate) platform: Platform,
    pub(crate) runner: Arc<Runner<E, C>>,
    pub(crate) ledgers: Ledgers,
    pub(crate) clock: C,
}

impl<E: Engine, C: Clock> WfRun<E, C> {
    /// Answers one call.
    pub(crate) async fn call(self: Arc<Self>, permitted: Permitted, arguments: Arguments) -> Result<Ran, ToolError> {
        let (enclave, tentacle) = (permitted.enclave()?, permitted.tentacle()?);
        // As text it takes a hundredth of the memory, for as long as the run.
        let Arguments { input, timeout_seconds, .. } = arguments;
        let body = body(input.as_ref());
        drop(input);
        let live = Live::read(&self.cluster, &self.platform, enclave, tentacle).await?;
        live.check(permitted.permit(), permitted.caller(), authz().frozen)?;

        let (limit, warning) = limit(timeout_seconds);
        let run = Run { id: self.runner.run_id(), enclave: enclave.clone(), tentacle: tentacle.clone(), body, limit };
        let entry = Entry::claim(&self.ledgers, &run, permitted.caller().label(), self.clock.time()).await;
        let ended = tokio::select! {
            ended = self.runner.run(&run) => ended,
            never = tell(&permitted, &run) => match never {},
        };
        let unwritten = entry.end(Outcome::of(&ended, self.clock.time())).await;
        let outcome = ended?;
        Ok(Ran {
            name: tentacle.to_string(),
            enclave: enclave.to_string(),
            run_id: run.id.to_string(),
            success: outcome.success,
            output: outcome.output,
            duration_ms: millis(outcome.duration),
            warnings: warning.into_iter().chain(unwritten).collect(),
        })
    }
}

/// Tells the caller at once, and then every few seconds, that the run is under way.
async fn tell(permitted: &Permitted, run: &Run) -> Infallible {
    let begun = Instant::now();
    loop {
        let message = format!("tentacle {}/{} is running (run {})", run.enclave, run.tentacle, run.id);
        permitted.progress(begun.elapsed().as_secs_f64(), Some(run.limit.as_secs_f64()), message).await;
        tokio::time::sleep(PROGRESS).await;
    }
}

/// The time a run gets, and what is to be said when that is not what was asked for.
fn limit(asked: Option<i64>) -> (Duration, Option<String>) {
    let (seconds, warning) = match asked {
        None => (DEFAULT_SECONDS, None),
        Some(asked) => match u64::try_from(asked) {
            Ok(seconds @ 1..=RUN_SECONDS) => (seconds, None),
            Err(_) | Ok(0) => (
                DEFAULT_SECONDS,
                Some(format!("timeout_seconds {asked} is less than 1: the run had {DEFAULT_SECONDS} s")),
            ),
            Ok(_) => (
                RUN_SECONDS,
                Some(format!("timeout_seconds {asked} is above the limit: the run had {RUN_SECONDS} s")),
            ),
        },
    };
    (Duration::from_secs(seconds), warning)
}

/// The body of the request: an engine wants an object where there is no input.
fn body(input: Option<&Value>) -> Bytes {
    input.map_or_else(|| Bytes::from_static(b"{}"), |input| input.to_string().into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_time_of_a_run_has_bounds() {
        for (asked, seconds, warns) in [
            (None, 120, false),
            (Some(1), 1, false),
            (Some(600), 600, false),
            (Some(601), 600, true),
            (Some(i64::MAX), 600, true),
            (Some(0), 120, true),
            (Some(-5), 120, true),
        ] {
            let (limit, warning) = limit(asked);
            assert_eq!((limit.as_secs(), warning.is_some()), (seconds, warns), "{asked:?}");
        }
    }

    #[test]
    fn input_is_any_json_or_left_out() {
        for (arguments, sent) in [
            (json!({ "name": "a" }), "{}"),
            (json!({ "name": "a", "input": null }), "{}"),
            (json!({ "name": "a", "namespace": "b", "input": { "text": "x" } }), r#"{"text":"x"}"#),
            (json!({ "name": "a", "enclave": "b", "input": [1, "2"], "timeout_seconds": 9 }), r#"[1,"2"]"#),
        ] {
            let arguments: Arguments = serde_json::from_value(arguments).expect("valid");
            assert_eq!(body(arguments.input.as_ref()), sent);
        }
        assert!(serde_json::from_value::<Arguments>(json!({ "name": "a", "timeout": 9 })).is_err());
    }

    #[test]
    fn the_declaration_is_one_that_the_kernel_takes() {
        let declared = serde_json::to_value(authz()).expect("JSON");
        assert_eq!(Authz::parse(Some(&declared)).expect("valid"), authz());
    }
}
