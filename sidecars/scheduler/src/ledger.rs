//! The ledger of a tentacle's runs: what was claimed, how it ended, and how far each schedule has come.
//!
//! [`Book`] is what a ledger says and judges what may be written next, without a cluster or a clock. [`Ledgers`] keeps
//! books in `ConfigMap`s and changes them by compare-and-swap, so that of all who claim an instant one gets it.

mod book;
mod bounds;
mod change;
mod judge;
mod page;
mod run;
mod store;

use chrono::SubsecRound as _;

pub(crate) use self::{
    book::Book,
    bounds::{RUNS, SCHEDULES},
    change::{Change, Claim, Firing, Outcome, Refused, Skip, deadline},
    judge::DEADLINE_OVER,
    page::Cursor,
    run::{Run, ScheduleId, State},
    store::{ChangeError, Held, Ledgers},
};
use crate::clock::Time;

/// How often the leader's Lease has changed hands (`leaseTransitions`): a later leader has a higher one.
pub(crate) type Term = u32;

/// `time` as a ledger keeps it: to the millisecond.
fn kept(time: Time) -> Time {
    time.trunc_subsecs(3)
}

#[cfg(test)]
mod tests;
