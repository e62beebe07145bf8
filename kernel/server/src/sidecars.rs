//! The sidecars in the run folder, and the tools they offer, merged into one catalog.

mod catalog;
mod join;
mod registry;

pub(crate) use catalog::{Catalog, Tool};
#[cfg(test)]
pub(crate) use catalog::{Offer, Reserved};
pub(crate) use registry::{BuiltIn, Registry};
