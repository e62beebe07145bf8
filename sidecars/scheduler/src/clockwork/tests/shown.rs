//! What the ledgers and the engine of a world say, which is waited for.

use std::{cmp::Reverse, time::Duration};

use tentacular_contract::EnclaveName;
use tokio::time::{sleep, timeout};

use super::{
    outside::time,
    world::{LONG, World},
};
use crate::{
    clock::{Clock as _, Time},
    ledger::{Held, Ledgers, Run, ScheduleId, State},
};

impl World {
    pub(super) async fn ledger(&self, tentacle: &str) -> Held {
        self.ledger_in(&self.enclave, tentacle).await
    }

    async fn ledger_in(&self, enclave: &EnclaveName, tentacle: &str) -> Held {
        Ledgers::new(self.admin.clone()).load(enclave, &tentacle.parse().unwrap()).await.unwrap()
    }

    /// Waits until a tentacle's ledger has these runs, those of the last instants first.
    pub(super) async fn until(&self, tentacle: &str, wanted: &[&str]) {
        let shown = async {
            loop {
                if self.runs(tentacle).await == wanted {
                    return;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        if timeout(LONG, shown).await.is_err() {
            assert_eq!(self.runs(tentacle).await, wanted, "{tentacle}");
        }
    }

    /// Waits until the engine was asked for so many runs of a tentacle.
    pub(super) async fn until_asked(&self, tentacle: &str, runs: usize) {
        let asked = async {
            while self.engine.calls(tentacle).len() < runs {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(LONG, asked).await.expect("the engine is asked");
        assert_eq!(self.engine.calls(tentacle).len(), runs, "{tentacle}");
    }

    /// Waits until the ledger says that a tentacle's schedule has come to this time.
    pub(super) async fn until_at(&self, tentacle: &str, schedule: &str, at: &str) {
        self.until_at_in(&self.enclave, tentacle, schedule, at).await;
    }

    pub(super) async fn until_at_in(&self, enclave: &EnclaveName, tentacle: &str, schedule: &str, at: &str) {
        let come = async {
            while self.ledger_in(enclave, tentacle).await.book().newest(&ScheduleId::new(schedule)) != Some(time(at))
            {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let why = format!("{tentacle} does not come to {at}");
        timeout(LONG, come).await.expect(&why);
    }

    /// Waits until the ledger says that a tentacle's schedule has come to the time that it is.
    pub(super) async fn until_newest(&self, tentacle: &str, schedule: &str) {
        let now = self.clock.time().format("%m-%dT%H:%M:%S").to_string();
        self.until_at(tentacle, schedule, &now).await;
    }

    /// The runs of a tentacle in short, those of the last instants first.
    pub(super) async fn runs(&self, tentacle: &str) -> Vec<String> {
        let held = self.ledger(tentacle).await;
        let mut runs: Vec<_> = held.book().runs().collect();
        runs.sort_by_key(|run| Reverse(run.instant));
        runs.into_iter().map(short).collect()
    }
}

/// State, instants, and for skips their count and reason.
fn short(run: &Run) -> String {
    let minute = |time: Option<Time>| time.map_or_else(String::new, |time| time.format("%d %H:%M").to_string());
    let mut text =
        format!("{} {}", serde_json::to_string(&run.state).unwrap().trim_matches('"'), minute(run.instant));
    if run.state == State::Skipped {
        let (count, reason) = (run.count, run.reason.as_deref().unwrap_or_default());
        let reason = reason.split(' ').find(|word| ["missed:", "frozen", "before"].contains(word));
        let last = if count > 1 { format!("–{}", minute(run.last_instant)) } else { String::new() };
        text = format!("{text}{last} {count} {}", reason.unwrap_or("?").trim_end_matches(':'));
    }
    text
}
