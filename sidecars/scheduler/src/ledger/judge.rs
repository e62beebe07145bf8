//! What may be written to a ledger, judged by what it says.

use super::{
    Book, Change, Claim, Outcome, Refused, Run, ScheduleId, Skip, State, Term, Time, book::NEWEST, bounds::RUNS, kept,
};
use crate::run::RunId;

/// Who made a run that a schedule fired.
const BY_SCHEDULE: &str = "schedule";
const TERM_OVER: &str = "its scheduler ended, or lost the lead, before the outcome was written";
/// Why a run counts as interrupted that nobody closed.
pub(crate) const DEADLINE_OVER: &str = "no outcome was written by its deadline";

impl Book {
    /// Claims a run before it is made. One that a schedule fires must be newer than all of that schedule, unless it was
    /// interrupted and may be claimed `again`.
    pub(crate) fn claim(&self, claim: &Claim) -> Result<Change, Refused> {
        let mut change = Change::default();
        let mut run =
            Run { deadline: Some(claim.deadline), ..new_run(claim.id, claim.at, &claim.by, State::Claimed) };
        let known = self.runs.iter().find(|entry| entry.id == claim.id);
        match &claim.firing {
            Some(firing) => {
                self.fence(firing.term)?;
                match known {
                    Some(entry) if firing.again && entry.state() == Some(State::Interrupted) => {}
                    Some(_) => return Err(Refused::Taken),
                    None => self.is_newer(&firing.schedule, firing.instant)?,
                }
                if firing.alone && self.goes_on_elsewhere(claim.at) {
                    return Err(Refused::Overlap);
                }
                BY_SCHEDULE.clone_into(&mut run.by);
                run.schedule = Some(firing.schedule.clone());
                run.trigger.clone_from(&firing.trigger);
                run.instant = Some(firing.instant);
                run.term = Some(firing.term);
                run.lateness_ms = Some(firing.lateness_ms);
                change.advance(self, &firing.schedule, firing.instant);
                change.term(self, firing.term);
            }
            None if known.is_some() => return Err(Refused::Taken),
            None => {}
        }
        change.run(run);
        Ok(self.bounded(change))
    }

    /// Writes down how a run ended, once. Empty when the ledger says just that.
    pub(crate) fn finish(&self, id: RunId, outcome: &Outcome) -> Result<Change, Refused> {
        let entry = self.runs.iter().find(|entry| entry.id == id).ok_or(Refused::NoRun)?;
        let run = entry.run.as_deref().ok_or(Refused::Ended)?;
        let ended = Run {
            state: if outcome.success { State::Succeeded } else { State::Failed },
            ended_at: Some(outcome.at),
            duration_ms: Some(outcome.duration_ms),
            reason: outcome.reason.clone(),
            ..run.clone()
        }
        .within_limits();
        let mut change = Change::default();
        match run.state {
            _ if *run == ended => {}
            State::Claimed | State::Interrupted => change.run(ended),
            State::Succeeded | State::Failed | State::Skipped => return Err(Refused::Ended),
        }
        Ok(self.bounded(change))
    }

    /// Writes down that instants are not fired. Such of one schedule that follow each other with the same reason are one
    /// entry.
    pub(crate) fn skip(&self, skip: &Skip) -> Result<Change, Refused> {
        self.fence(skip.term)?;
        self.is_newer(&skip.schedule, skip.first)?;
        let reason = Some(skip.reason.clone());
        let several = (skip.count > 1).then_some(skip.last);
        let new = Run {
            schedule: Some(skip.schedule.clone()),
            trigger: skip.trigger.clone(),
            instant: Some(skip.first),
            term: Some(skip.term),
            reason,
            count: skip.count,
            last_instant: several,
            ..new_run(skip.id, skip.at, BY_SCHEDULE, State::Skipped)
        }
        .within_limits();
        let equal = |run: &&Run| run.schedule == new.schedule && run.reason == new.reason && self.is_last_skip(run);
        let run = match self.runs().find(equal) {
            Some(run) => {
                let count = run.count.saturating_add(skip.count);
                Run { count, last_instant: Some(skip.last), term: new.term, ..run.clone() }
            }
            None if self.runs.iter().any(|entry| entry.id == skip.id) => return Err(Refused::Taken),
            None => new,
        };
        let mut change = Change::default();
        change.run(run);
        change.advance(self, &skip.schedule, skip.last);
        change.term(self, skip.term);
        Ok(self.bounded(change))
    }

    /// Notes from when on a schedule counts: what is up to `instant` is not fired. Moves a schedule forward only; empty
    /// when it is there already.
    ///
    /// Schedules of which none `is_there` any more are forgotten at that: they take the room of those that are, and one of
    /// these that is forgotten loses an instant.
    pub(crate) fn since(
        &self,
        schedule: &ScheduleId,
        instant: Time,
        term: Term,
        is_there: impl Fn(&ScheduleId) -> bool,
    ) -> Result<Change, Refused> {
        self.fence(term)?;
        let mut change = Change::default();
        for gone in self.newest.iter().filter(|newest| !is_there(&newest.schedule)) {
            change.remove(gone.key());
        }
        let mut instant = kept(instant);
        if self.newest(schedule).is_none() {
            // It may be one that was forgotten.
            instant = self.floor.map_or(instant, |floor| floor.max(instant));
            if change.is_empty() && self.is_full(instant) {
                return Err(Refused::Full);
            }
        }
        change.advance(self, schedule, instant);
        if change.written(NEWEST) == 0 {
            return Ok(Change::default());
        }
        change.term(self, term);
        Ok(self.bounded(change))
    }

    /// Closes as interrupted the runs that an earlier leader claimed, and those whose deadline is not after `now`.
    pub(crate) fn interrupt(&self, term: Term, now: Time) -> Result<Change, Refused> {
        self.fence(term)?;
        let mut change = Change::default();
        let closed = self.claimed().filter_map(|run| {
            let reason = if run.term.is_some_and(|claimed| claimed < term) {
                TERM_OVER
            } else if run.is_over(now) {
                DEADLINE_OVER
            } else {
                return None;
            };
            let reason = Some(reason.to_owned());
            Some(Run { state: State::Interrupted, ended_at: Some(now), reason, ..run.clone() })
        });
        for run in closed.take(RUNS) {
            change.run(run);
        }
        if !change.is_empty() {
            change.term(self, term);
        }
        Ok(self.bounded(change))
    }

    /// Lets a run outlast the term in which it was claimed: its leader ends and goes on with it. So it counts until its
    /// outcome is written, or its deadline has passed. Empty when it goes on no more.
    pub(crate) fn hand_over(&self, id: RunId) -> Change {
        let mut change = Change::default();
        if let Some(run) = self.claimed().find(|run| run.id == id && run.term.is_some()) {
            change.run(Run { term: None, ..run.clone() });
        }
        self.bounded(change)
    }

    /// Whether a run may still go on that is of no leader: whichever process is at it, it was claimed by `wf_run` or handed
    /// over. (Of runs that it fires the leader itself knows.)
    ///
    /// A leader need not read the ledger to look for one: its claim is a compare-and-swap, so one that was claimed before
    /// makes it read and judge again, and one that ended in the meantime is not held against it, as a refusal is believed
    /// only of a ledger that was just read.
    fn goes_on_elsewhere(&self, now: Time) -> bool {
        self.claimed().any(|run| run.term.is_none() && !run.is_over(now))
    }

    const fn fence(&self, term: Term) -> Result<(), Refused> {
        if term < self.term { Err(Refused::LowerTerm(self.term)) } else { Ok(()) }
    }

    fn is_newer(&self, schedule: &ScheduleId, instant: Time) -> Result<(), Refused> {
        let instant = kept(instant);
        match self.newest(schedule) {
            Some(newest) if newest >= instant => Err(Refused::NotNewer(newest)),
            Some(_) => Ok(()),
            None => match self.floor {
                Some(floor) if floor >= instant => Err(Refused::NotNewer(floor)),
                _ if self.is_full(instant) => Err(Refused::Full),
                _ => Ok(()),
            },
        }
    }
}

fn new_run(id: RunId, at: Time, by: &str, state: State) -> Run {
    Run {
        id,
        schedule: None,
        trigger: None,
        by: by.to_owned(),
        instant: None,
        claimed_at: at,
        deadline: None,
        state,
        term: None,
        lateness_ms: None,
        ended_at: None,
        duration_ms: None,
        reason: None,
        count: 1,
        last_instant: None,
    }
}
