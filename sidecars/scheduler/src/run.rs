//! One run of a tentacle, from the request to what is said of it. Whoever runs, a caller or a schedule, runs here.

mod report;

use std::{fmt, str::FromStr, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tentacular_contract::{EnclaveName, TentacleName, limits::RUN_OUTPUT_BYTES, tentacle_url::TentacleUrl};
use tentacular_process::engine::{Answer, NoAnswer};
use tokio::time::{Instant, sleep, timeout_at};
use uuid::{NoContext, Timestamp, Uuid};

use self::report::Report;
use crate::{
    clock::Clock,
    engine::{Call, Engine},
};

/// Pause before the next attempt to reach a tentacle that nobody answers for, as while its pod starts.
const PAUSE: Duration = Duration::from_secs(3);
/// With less time than this left, no further attempt is made.
const TOO_LATE: Duration = Duration::from_millis(100);

/// The id of a run: a UUID of version 7, so that ids are in the order of their time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct RunId(Uuid);

impl RunId {
    /// A fresh id for a run that begins at `now`.
    pub(crate) fn new(now: std::time::SystemTime) -> Self {
        let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self(Uuid::new_v7(Timestamp::from_unix(NoContext, since.as_secs(), since.subsec_nanos())))
    }

    /// The id that is told from what the run is for, so that nobody gives it twice.
    pub(crate) const fn of(id: Uuid) -> Self {
        Self(id)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RunId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

/// A run that is to be made.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) id: RunId,
    pub(crate) enclave: EnclaveName,
    pub(crate) tentacle: TentacleName,
    /// The input, as JSON.
    pub(crate) body: Bytes,
    /// How long it may take, waiting for the tentacle to be reachable included.
    pub(crate) limit: Duration,
}

/// A run that came to its end, well or not.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) success: bool,
    /// What the engine answered; null when it answered nothing.
    pub(crate) output: Value,
    pub(crate) duration: Duration,
}

/// A run of which the end is not known, or that never began.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tentacle {place} {why} (run {id})")]
pub(crate) struct RunError {
    place: String,
    id: RunId,
    why: Why,
    duration: Duration,
}

impl RunError {
    /// How long it took until then.
    pub(crate) const fn duration(&self) -> Duration {
        self.duration
    }

    /// Why, for the ledger: of the answer, which is the tentacle's, only the status.
    pub(crate) fn reason(&self) -> String {
        self.why.without_answer()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Why {
    #[error("could not be reached within {seconds} s: {last}; wf_status says whether it is ready")]
    NotReached { seconds: u64, last: String },
    #[error("gave no answer within {0} s; the run may still be going on, a longer timeout_seconds waits for it")]
    NoAnswer(u64),
    #[error("broke off before its answer was complete: {0}; the run may have been made, so it is not repeated")]
    Broken(String),
    #[error(
        "was run, and its answer is longer than {RUN_OUTPUT_BYTES} bytes, the limit of a run's output; let it answer with less"
    )]
    TooLong,
    #[error("answered HTTP {status}, which no engine says of a run; wf_logs shows what its pods do: {body}")]
    Status { status: u16, body: String },
}

impl Why {
    /// The same without what the tentacle answered, which is for its caller and for nobody else.
    fn without_answer(&self) -> String {
        match self {
            Self::Status { status, .. } => format!("it answered HTTP {status}, which no engine says of a run"),
            Self::NoAnswer(seconds) => format!("it gave no answer within {seconds} s; the run may still be going on"),
            why => format!("it {why}"),
        }
    }
}

/// Makes runs.
#[derive(Debug)]
pub(crate) struct Runner<E, C> {
    engine: E,
    clock: C,
    url: TentacleUrl,
}

impl<E: Engine, C: Clock> Runner<E, C> {
    pub(crate) const fn new(engine: E, clock: C, url: TentacleUrl) -> Self {
        Self { engine, clock, url }
    }

    /// A fresh id for a run.
    pub(crate) fn run_id(&self) -> RunId {
        RunId::new(self.clock.now())
    }

    /// Makes one run and tells the log of it. Nothing is sent twice: only a connection that did not come about is
    /// tried again.
    pub(crate) async fn run(&self, run: &Run) -> Result<Outcome, RunError> {
        let begun = Instant::now();
        let answered = self.answer(run, begun).await;
        let duration = begun.elapsed();
        let outcome = answered.and_then(|answer| match report::read(answer.status, &answer.body) {
            Report::Ended { success, output } => Ok(Outcome { success, output, duration }),
            Report::NoRun { body } => Err(Why::Status { status: answer.status, body }),
        });
        tracing::info!(
            run_id = %run.id,
            enclave = %run.enclave,
            tentacle = %run.tentacle,
            success = outcome.as_ref().is_ok_and(|outcome| outcome.success),
            error = outcome.as_ref().err().map(Why::without_answer),
            duration_ms = millis(duration),
            "run"
        );
        outcome.map_err(|why| RunError {
            place: format!("{}/{}", run.enclave, run.tentacle),
            id: run.id,
            why,
            duration,
        })
    }

    async fn answer(&self, run: &Run, begun: Instant) -> Result<Answer, Why> {
        let (deadline, seconds) = (begun + run.limit, run.limit.as_secs());
        let url = self.url.run_url(&run.enclave, &run.tentacle);
        let call = Call { url, run_id: run.id, body: run.body.clone() };
        loop {
            let failure = match timeout_at(deadline, self.engine.post(&call)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failure)) => failure,
                Err(_) => return Err(Why::NoAnswer(seconds)),
            };
            let left = deadline.saturating_duration_since(Instant::now());
            match failure {
                NoAnswer::NotConnected(last) if left < TOO_LATE => return Err(Why::NotReached { seconds, last }),
                // Shorter pauses towards the end, so that a short limit is used up too.
                NoAnswer::NotConnected(_) => sleep(PAUSE.min(left / 2)).await,
                NoAnswer::Broken(text) => return Err(Why::Broken(text)),
                NoAnswer::TooLong(_) => return Err(Why::TooLong),
            }
        }
    }
}

/// Whole milliseconds, as results and logs give them.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
