//! Enclaves: the namespaces that belong to a team, and what every one of them holds.

mod begin;
pub(crate) mod bindings;
mod change;
mod contents;
pub(crate) mod deprovision;
mod furnish;
pub(crate) mod info;
pub(crate) mod list;
pub(crate) mod name_pattern;
mod objects;
pub(crate) mod provision;
mod quota;
mod request;
mod room;
pub(crate) mod sync;
mod transfer;
mod undo;
pub(crate) mod view;

use std::time::Duration;

use tentacular_cluster::Cluster;

use crate::registrar::Registrar;

impl Registrar {
    /// The cluster for attempts that read and write and are made again as a whole: each request is sent once.
    fn impatient(&self) -> Cluster {
        self.cluster.patient(Duration::ZERO)
    }
}
