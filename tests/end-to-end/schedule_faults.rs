//! Schedulers under faults: the leader is killed, paused or told to end, and for every instant there is one claim or one
//! skip, at most one call unless the tentacle wants more, and an entry in the ledger.

mod account;
mod engine;
mod killed;
mod replaced;
mod world;
