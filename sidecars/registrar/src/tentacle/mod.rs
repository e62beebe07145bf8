//! Tentacles: applying what one consists of, and removing it. The pure parts read and check manifests and write
//! annotations; the others read and write the cluster.

pub(crate) mod apply;
mod defaults;
mod effect;
mod manifest;
mod neighbours;
mod outcome;
mod ownership;
mod pod_security;
mod prune;
mod release;
pub(crate) mod remove;
mod standing;
pub(crate) mod turns;
mod typed;
mod validate;
mod write;
