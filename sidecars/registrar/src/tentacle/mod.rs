//! Tentacles: applying what one consists of, restarting and removing it, and who may do what with it. The pure parts
//! read and check manifests and write annotations; the others read and write the cluster.

pub(crate) mod apply;
mod begin;
mod change;
mod checksum;
mod claim;
mod defaults;
mod dependencies;
mod differences;
mod effect;
mod fields;
mod immutable;
mod inventory;
mod manifest;
mod neighbours;
mod node_descriptions;
mod outcome;
pub(crate) mod ownership;
pub(crate) mod permissions_get;
pub(crate) mod permissions_set;
mod plan;
mod pod_security;
mod progress;
mod prune;
mod rehearse;
mod release;
pub(crate) mod remove;
pub(crate) mod restart;
mod rollout;
mod standing;
mod telemetry;
mod typed;
mod validate;
mod write;
