//! The module proxy, from which tentacles load their modules: it is kept as the settings want it, and after an apply it is
//! asked for the modules of the workflow, so that the tentacle's first run need not wait for them.

pub(crate) mod reconcile;
pub(crate) mod warm;
