//! The scheduler's tools, one module each.

pub(crate) mod wf_run;
