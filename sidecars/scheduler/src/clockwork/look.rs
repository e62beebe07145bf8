//! One schedule that is being looked at: what has passed is skipped, what is due is claimed.

use tentacular_contract::cron::{self, Overlap};

use super::{
    Lead, Place, Time,
    due::{self, Due, Span},
    kept::{Kept, Since},
    timetable::Entry,
};
use crate::{
    clock::Clock,
    engine::Engine,
    ledger::{Book, Change, ChangeError, Claim, Firing, Held, Refused, ScheduleId, Skip, deadline},
    run::{RunId, millis},
};

/// Runs of one tentacle that go on at the same time where they may overlap: of the runs that there is room for, one whose runs
/// never end takes no more.
const SIDE_BY_SIDE: usize = 20;

/// Why instants are not fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    Missed,
    Frozen,
    Overlap,
}

impl Why {
    /// How metrics name it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Missed => "missed",
            Self::Frozen => "frozen",
            Self::Overlap => "overlap",
        }
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::Missed => "missed: no scheduler could fire it in time",
            Self::Frozen => "the enclave was frozen",
            Self::Overlap => "the run before it was still going on",
        }
    }
}

/// One schedule that is being looked at.
pub(super) struct Look<'a, E, C> {
    pub(super) lead: &'a Lead<E, C>,
    pub(super) kept: &'a Kept,
    pub(super) entry: &'a Entry,
    pub(super) held: &'a mut Held,
    pub(super) now: Time,
}

/// What was done.
pub(super) enum Done {
    /// Nothing is left to do before then.
    Wait(Option<Time>),
    /// There may be more to do.
    More,
    /// What is due waits until less goes on in the enclave.
    Full,
    /// A run is to be made.
    Claimed(Box<Claim>),
}

impl<E: Engine, C: Clock + Clone> Look<'_, E, C> {
    /// Does the next of what is due.
    pub(super) async fn act(&mut self) -> Result<Done, ChangeError<Refused>> {
        let (kept, entry, now) = (self.kept, self.entry, self.now);
        if let Some(since) = kept.since(&entry.id) {
            self.begin(since).await?;
            kept.settled(&entry.id);
        }
        let Some(newest) = self.held.book().newest(&entry.id) else {
            self.pass(now).await?;
            return Ok(Done::More);
        };
        match due::due(&kept.timetable, entry, newest, now) {
            Due::Wait(next) => Ok(Done::Wait(next)),
            Due::Skip(span) => {
                self.skip(span, Why::Missed).await?;
                Ok(Done::More)
            }
            Due::Fire { instant, missed } => {
                if let Some(missed) = missed {
                    self.skip(missed, Why::Missed).await?;
                }
                if !self.lead.runs.is_fair(&kept.place.enclave) {
                    return Ok(Done::Full);
                }
                let most = if kept.timetable.overlap == Overlap::Skip { 1 } else { SIDE_BY_SIDE };
                let claimed = if self.lead.runs.count(&kept.place) >= most {
                    Err(ChangeError::Refused(Refused::Overlap))
                } else {
                    self.claim(instant, false).await
                };
                match claimed {
                    Ok(claim) => Ok(Done::Claimed(Box::new(claim))),
                    Err(ChangeError::Refused(Refused::Overlap)) => {
                        self.skip(Span { first: instant, last: instant, count: 1 }, Why::Overlap).await?;
                        Ok(Done::More)
                    }
                    Err(error) => {
                        self.pass_taken(instant, error).await?;
                        Ok(Done::More)
                    }
                }
            }
        }
    }

    /// Notes from when on the schedule counts, where that is later than the ledger says.
    async fn begin(&mut self, since: Since) -> Result<(), ChangeError<Refused>> {
        let (timetable, entry) = (&self.kept.timetable, self.entry);
        match (since, self.held.book().newest(&entry.id)) {
            (Since::Frozen(thawed), Some(mut newest)) => {
                while let Some(passed) = due::frozen(timetable, entry, newest, thawed) {
                    self.skip(passed.span, Why::Frozen).await?;
                    newest = passed.span.last;
                }
                Ok(())
            }
            // It counts from now on, as every schedule that no ledger knows.
            (Since::Made(_), None) => Ok(()),
            (Since::New(from) | Since::Frozen(from) | Since::Made(from), _) => self.pass(from).await,
        }
    }

    /// Notes that nothing up to `instant` is fired.
    async fn pass(&mut self, instant: Time) -> Result<(), ChangeError<Refused>> {
        let (entry, entries, term) = (self.entry, &self.kept.timetable.entries, self.lead.term);
        let is_there = |schedule: &ScheduleId| entries.iter().any(|entry| entry.id == *schedule);
        self.change(|book| book.since(&entry.id, instant, term, is_there)).await
    }

    /// Passes over an instant that the ledger tells of although it has not come so far: somebody changed it by hand.
    async fn pass_taken(&mut self, instant: Time, error: ChangeError<Refused>) -> Result<(), ChangeError<Refused>> {
        if !matches!(error, ChangeError::Refused(Refused::Taken)) {
            return Err(error);
        }
        self.lead.note(self.kept, self.entry, &error);
        self.pass(instant).await
    }

    async fn skip(&mut self, span: Span, why: Why) -> Result<(), ChangeError<Refused>> {
        let Span { first, last, count } = span;
        let skip = Skip {
            id: self.id(first),
            at: self.now,
            schedule: self.entry.id.clone(),
            trigger: self.entry.schedule.name.clone(),
            first,
            last,
            count,
            reason: why.sentence().to_owned(),
            term: self.lead.term,
        };
        if let Err(error) = self.change(|book| book.skip(&skip)).await {
            return self.pass_taken(first, error).await;
        }
        self.lead.clockwork.measures.skipped(why, count);
        let Place { enclave, tentacle } = &self.kept.place;
        tracing::info!(%enclave, %tentacle, schedule = %self.entry.id, %first, %last, count, why = why.as_str(), "skipped");
        Ok(())
    }

    /// Claims an instant: after this, and only then, its run is made.
    pub(super) async fn claim(&mut self, instant: Time, again: bool) -> Result<Claim, ChangeError<Refused>> {
        let (lead, entry) = (self.lead, self.entry);
        let trigger = lead.name_of(self.kept, entry).await.map_err(ChangeError::Cluster)?;
        let at = lead.clockwork.clock.time();
        let lateness = (at - (instant + entry.delay())).to_std().unwrap_or_default();
        let claim = Claim {
            id: self.id(instant),
            at,
            deadline: deadline(at, lead.clockwork.limit),
            by: String::new(),
            firing: Some(Firing {
                schedule: entry.id.clone(),
                trigger,
                instant,
                term: lead.term,
                lateness_ms: millis(lateness),
                again,
                alone: self.kept.timetable.overlap == Overlap::Skip,
            }),
        };
        self.change(|book| book.claim(&claim)).await?;
        lead.clockwork.measures.fired(lateness);
        let Place { enclave, tentacle } = &self.kept.place;
        let lateness_ms = millis(lateness);
        tracing::info!(%enclave, %tentacle, schedule = %entry.id, %instant, run_id = %claim.id, lateness_ms, "fired");
        Ok(claim)
    }

    fn id(&self, instant: Time) -> RunId {
        let Place { enclave, tentacle } = &self.kept.place;
        RunId::of(cron::run_id(enclave, tentacle, &self.entry.schedule, instant))
    }

    /// Changes the ledger, while the lead lasts: what was sent and not answered is known again only within one attempt.
    async fn change(
        &mut self,
        judge: impl FnMut(&Book) -> Result<Change, Refused>,
    ) -> Result<(), ChangeError<Refused>> {
        self.lead.clockwork.ledgers.change(self.held, self.lead.leading.left(), judge).await
    }
}
