//! Runs that callers make, and the ledger that tells of them.

mod faults;
mod ledger;
mod making;
mod people;
