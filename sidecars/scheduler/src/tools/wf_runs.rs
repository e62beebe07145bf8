//! `wf_runs`: the ledger of a tentacle's runs, newest first.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tentacular_contract::{Authz, Needs, On};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};

use super::{limit, utc};
use crate::{
    clock::{Clock, Time},
    ledger::{Cursor, DEADLINE_OVER, Ledgers, RUNS, Run, ScheduleId, State},
};

/// Runs on a page when the caller names no number.
const DEFAULT: usize = 20;

/// The arguments of `wf_runs`.
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
    /// Most runs to name, from 1 to 50; 20 when left out.
    #[serde(default)]
    #[schemars(range(min = 1, max = 50))]
    limit: Option<usize>,
    /// `next_cursor` of the page before; the newest runs when left out.
    #[serde(default)]
    cursor: Option<String>,
    /// Only runs in this state.
    #[serde(default)]
    state: Option<State>,
    /// Only runs of this schedule: its `id` or `name` as `wf_schedule` shows it.
    #[serde(default)]
    schedule: Option<String>,
}

/// The result of `wf_runs`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Page {
    /// Name of the tentacle.
    name: String,
    /// Enclave of the tentacle.
    enclave: String,
    /// The runs, newest first. A ledger keeps the last 50.
    runs: Vec<Entry>,
    /// Whether there are more: ask again with `next_cursor` as `cursor`.
    truncated: bool,
    /// Where the next page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// One run, or instants of a schedule that were skipped.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
struct Entry {
    /// Id of the run, which the tentacle got as header `Tentacular-Run-Id`; of skipped instants the one that a run would
    /// have had.
    run_id: String,
    /// Where it stands.
    state: State,
    /// Id of the schedule that fired it; left out for `wf_run`.
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<String>,
    /// Name of the schedule, which the tentacle got as `trigger`, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    trigger: Option<String>,
    /// Who ran it: the caller of `wf_run`, or `schedule`.
    by: String,
    /// The instant that it was fired for, in UTC; of several skipped ones the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    instant: Option<String>,
    /// The last of several skipped instants.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_instant: Option<String>,
    /// How many skipped instants it stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u32>,
    /// How long after its time it began, in milliseconds; jitter is no lateness.
    #[serde(skip_serializing_if = "Option::is_none")]
    lateness_ms: Option<u64>,
    /// When it began, in UTC; left out for skipped instants.
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    /// When it ended, in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<String>,
    /// How long it took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
    /// Why it failed, was skipped, or counts as interrupted.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// What the kernel and clients are told of `wf_runs`.
pub(crate) fn spec() -> ToolSpec {
    let authz = Authz::new(On::Tentacle, Needs::Read).enclave_at(&["/enclave", "/namespace"]).tentacle_at(&["/name"]);
    let description = "Lists the last 50 runs of a tentacle, newest first: those that schedules fired, those that \
                       wf_run made, and the instants that were skipped, with the reason. The runs of a tentacle that \
                       was removed stay, for the enclave's owner.";
    ToolSpec::new("wf_runs", "List runs", description, authz).read_only()
}

/// The tool.
#[derive(Debug)]
pub(crate) struct WfRuns<C> {
    pub(crate) ledgers: Ledgers,
    pub(crate) clock: C,
}

impl<C: Clock> WfRuns<C> {
    /// Answers one call.
    pub(crate) async fn call(self: Arc<Self>, permitted: Permitted, arguments: Arguments) -> Result<Page, ToolError> {
        let (enclave, tentacle) = (permitted.enclave()?, permitted.tentacle()?);
        let limit = limit(arguments.limit, DEFAULT, RUNS)?;
        let after: Option<Cursor> = arguments.cursor.as_deref().map(str::parse).transpose()?;
        let held = self.ledgers.load(enclave, tentacle).await?;
        let book = held.book();
        if !permitted.permit().exists() && book.runs().next().is_none() {
            return Err(ToolError::new(format_args!(
                "tentacle {enclave}/{tentacle} does not exist and never ran; wf_list names those that do"
            )));
        }
        let now = self.clock.time();
        let (page, next) = book.page(after, limit, |run| {
            arguments.state.is_none_or(|wanted| standing(run, now).0 == wanted)
                && arguments.schedule.as_deref().is_none_or(|wanted| is_of(run, wanted))
        });
        Ok(Page {
            name: tentacle.to_string(),
            enclave: enclave.to_string(),
            runs: page.into_iter().map(|run| Entry::of(run, now)).collect(),
            truncated: next.is_some(),
            next_cursor: next.map(|next| next.to_string()),
        })
    }
}

impl Entry {
    fn of(run: &Run, now: Time) -> Self {
        let (state, reason) = standing(run, now);
        let skipped = state == State::Skipped;
        Self {
            run_id: run.id.to_string(),
            state,
            schedule: run.schedule.as_ref().map(ScheduleId::to_string),
            trigger: run.trigger.clone(),
            by: run.by.clone(),
            instant: run.instant.map(utc),
            last_instant: run.last_instant.map(utc),
            count: skipped.then_some(run.count),
            lateness_ms: run.lateness_ms,
            started_at: (!skipped).then(|| utc(run.claimed_at)),
            ended_at: run.ended_at.map(utc),
            duration_ms: run.duration_ms,
            reason: reason.map(str::to_owned),
        }
    }
}

/// Where a run stands, and why. The leader closes what was left open of tentacles that have schedules; of others nobody
/// does, and it shows by the deadline.
fn standing(run: &Run, now: Time) -> (State, Option<&str>) {
    if run.state == State::Claimed && run.is_over(now) {
        return (State::Interrupted, Some(DEADLINE_OVER));
    }
    (run.state, run.reason.as_deref())
}

fn is_of(run: &Run, wanted: &str) -> bool {
    run.schedule == Some(ScheduleId::new(wanted)) || run.trigger.as_deref() == Some(wanted)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(state: &str) -> Run {
        let run = json!({
            "id": "00000000-0000-7000-8000-000000000001", "by": "schedule", "schedule": "CRON_TZ=UTC @daily",
            "trigger": "nightly", "instant": "2026-03-01T00:00:00Z", "claimed_at": "2026-03-01T00:00:00.250Z",
            "deadline": "2026-03-01T00:10:30.250Z", "state": state, "term": 1, "lateness_ms": 250,
        });
        serde_json::from_value(run).expect("a run")
    }

    fn at(text: &str) -> Time {
        text.parse().expect(text)
    }

    #[test]
    fn a_run_that_nobody_closed_is_interrupted_after_its_deadline() {
        let (before, after) = (at("2026-03-01T00:10:30Z"), at("2026-03-01T00:10:31Z"));
        assert_eq!(standing(&run("claimed"), before), (State::Claimed, None));
        assert_eq!(standing(&run("claimed"), after), (State::Interrupted, Some(DEADLINE_OVER)));
        assert_eq!(standing(&run("succeeded"), after), (State::Succeeded, None));
        let shown = serde_json::to_value(Entry::of(&run("claimed"), before)).expect("JSON");
        let expected = json!({
            "run_id": "00000000-0000-7000-8000-000000000001", "state": "claimed", "schedule": "CRON_TZ=UTC @daily",
            "trigger": "nightly", "by": "schedule", "instant": "2026-03-01T00:00:00Z", "lateness_ms": 250,
            "started_at": "2026-03-01T00:00:00.250Z",
        });
        assert_eq!(shown, expected);
    }

    #[test]
    fn skipped_instants_are_told_with_their_number_and_never_began() {
        let skipped = Run { count: 3, last_instant: Some(at("2026-03-03T00:00:00Z")), ..run("skipped") };
        let shown = serde_json::to_value(Entry::of(&skipped, at("2026-03-09T00:00:00Z"))).expect("JSON");
        assert_eq!((&shown["count"], &shown["last_instant"]), (&json!(3), &json!("2026-03-03T00:00:00Z")));
        assert_eq!((shown.get("started_at"), &shown["state"]), (None, &json!("skipped")));
    }

    #[test]
    fn a_schedule_is_asked_for_by_its_id_or_its_name() {
        for (wanted, is) in [("CRON_TZ=UTC @daily", true), ("nightly", true), ("@daily", false), ("", false)] {
            assert_eq!(is_of(&run("failed"), wanted), is, "{wanted}");
        }
        let called = Run { schedule: None, trigger: None, ..run("failed") };
        assert!(!is_of(&called, "nightly") && !is_of(&called, ""));
    }

    #[test]
    fn limits_and_states_that_there_are_none_of_are_refused() {
        let limit = |asked| limit(asked, DEFAULT, RUNS);
        assert_eq!((limit(None).expect("the default"), limit(Some(50)).expect("the most")), (20, 50));
        for asked in [0, 51] {
            let error = limit(Some(asked)).expect_err("out of range").to_string();
            assert!(error.contains("give 1 to 50"), "{error}");
        }
        let error =
            serde_json::from_value::<Arguments>(json!({ "name": "a", "state": "lost" })).expect_err("no state");
        assert!(error.to_string().contains("`interrupted`"), "{error}");
    }
}
