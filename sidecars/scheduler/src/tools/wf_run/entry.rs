//! What the ledger says of a run that a caller makes: claimed before it, its outcome after it. The run does not depend on
//! that: where the ledger cannot be written, it is made all the same.

use std::time::Duration;

use tokio::time::timeout;

use crate::{
    clock::Time,
    ledger::{Book, Change, ChangeError, Claim, Held, Ledgers, Outcome, Refused, deadline},
    run::Run,
};

/// How long a run waits for its claim, and within which an attempt to write it may begin.
const CLAIM: Duration = Duration::from_secs(5);
const CLAIM_ATTEMPTS: Duration = Duration::from_secs(2);
/// How long an answer waits for the outcome to be written, and how long that is tried in any case.
const ANSWER: Duration = Duration::from_secs(5);
const OUTCOME_ATTEMPTS: Duration = Duration::from_mins(5);

/// A run's entry in the ledger of its tentacle.
#[derive(Debug)]
pub(super) struct Entry {
    ledgers: Ledgers,
    held: Held,
    claim: Claim,
}

impl Entry {
    /// Claims a run that begins at `at`.
    pub(super) async fn claim(ledgers: &Ledgers, run: &Run, by: &str, at: Time) -> Self {
        let held = Ledgers::unread(&run.enclave, &run.tentacle);
        let claim = Claim { id: run.id, at, deadline: deadline(at, run.limit), by: by.to_owned(), firing: None };
        let mut entry = Self { ledgers: ledgers.clone(), held, claim };
        let problem = match timeout(CLAIM, entry.write_claim(CLAIM_ATTEMPTS)).await {
            Ok(Ok(())) => return entry,
            Ok(Err(error)) => error.to_string(),
            Err(elapsed) => elapsed.to_string(),
        };
        let Run { id, enclave, tentacle, .. } = run;
        tracing::warn!(run_id = %id, %enclave, %tentacle, problem, "a run is made that is not in the ledger");
        entry
    }

    /// Writes how the run ended. Returns what is to be said to the caller, when it is not written by then.
    pub(super) async fn end(mut self, outcome: Outcome) -> Option<String> {
        let written = tokio::spawn(async move {
            let written = self.write_end(&outcome).await;
            if let Err(error) = &written {
                tracing::warn!(run_id = %self.claim.id, %error, "how a run ended was not written");
            }
            written
        });
        match timeout(ANSWER, written).await {
            Ok(Ok(Ok(()))) => None,
            Ok(Ok(Err(error))) => Some(format!("the ledger does not say how this run ended: {error}")),
            Ok(Err(panic)) => Some(format!("the ledger does not say how this run ended: {panic}")),
            Err(_) => Some("the ledger does not say yet how this run ended: it cannot be written now".to_owned()),
        }
    }

    async fn write_claim(&mut self, attempts: Duration) -> Result<(), ChangeError<Refused>> {
        let claim = &self.claim;
        // Nobody else has this id: what is there is this claim, whose answer was lost.
        let judge = |book: &Book| match book.claim(claim) {
            Err(Refused::Taken) => Ok(Change::default()),
            judged => judged,
        };
        self.ledgers.change(&mut self.held, attempts, judge).await
    }

    async fn write_end(&mut self, outcome: &Outcome) -> Result<(), ChangeError<Refused>> {
        let written = self.finish(outcome).await;
        if written != Err(ChangeError::Refused(Refused::NoRun)) {
            return written;
        }
        // The claim could not be written then, or somebody took it away.
        self.write_claim(OUTCOME_ATTEMPTS).await?;
        self.finish(outcome).await
    }

    async fn finish(&mut self, outcome: &Outcome) -> Result<(), ChangeError<Refused>> {
        let id = self.claim.id;
        self.ledgers.change(&mut self.held, OUTCOME_ATTEMPTS, |book| book.finish(id, outcome)).await
    }
}
