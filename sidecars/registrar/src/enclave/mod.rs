//! Enclaves: the namespaces that belong to a team, and what every one of them holds.

pub(crate) mod bindings;
pub(crate) mod info;
pub(crate) mod list;
mod objects;
pub(crate) mod provision;
mod quota;
mod request;
mod undo;
mod view;
