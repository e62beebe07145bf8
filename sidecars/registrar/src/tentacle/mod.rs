//! Tentacles: applying what one consists of, restarting and removing it, and who may do what with it. The pure parts
//! read and check manifests and write annotations; the others read and write the cluster.

pub(crate) mod apply;
mod change;
mod defaults;
mod effect;
mod manifest;
mod neighbours;
mod outcome;
pub(crate) mod ownership;
pub(crate) mod permissions_get;
pub(crate) mod permissions_set;
mod pod_security;
mod prune;
mod release;
pub(crate) mod remove;
pub(crate) mod restart;
mod standing;
pub(crate) mod turns;
mod typed;
mod validate;
mod write;
