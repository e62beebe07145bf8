//! Enclaves: the namespaces that belong to a team, and what every one of them holds.

pub(crate) mod bindings;
mod change;
pub(crate) mod deprovision;
pub(crate) mod info;
pub(crate) mod list;
mod objects;
pub(crate) mod provision;
mod quota;
mod request;
pub(crate) mod sync;
mod transfer;
mod undo;
pub(crate) mod view;
