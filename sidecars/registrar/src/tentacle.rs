//! Tentacles: applying what one consists of, restarting and removing it, and who may do what with it. The pure parts
//! read and check manifests and write annotations; the others read and write the cluster.

pub(crate) mod apply;
mod begin;
mod change;
mod checksum;
mod claim;
mod defaults;
pub(crate) mod dependencies;
mod differences;
mod effect;
pub(crate) mod fields;
mod immutable;
mod inventory;
pub(crate) mod manifest;
mod node_descriptions;
mod others;
mod outcome;
pub(crate) mod ownership;
pub(crate) mod permissions_get;
pub(crate) mod permissions_set;
mod plan;
mod pod_security;
mod progress;
mod prune;
mod rehearse;
pub(crate) mod release;
pub(crate) mod remove;
pub(crate) mod renew;
pub(crate) mod restart;
mod retire;
mod rollout;
mod shares;
mod standing;
pub(crate) mod telemetry;
mod typed;
mod validate;
mod write;
