//! The auditor's tools, one module each. All of them only read.

pub(crate) mod wf_health;
pub(crate) mod wf_list;
pub(crate) mod wf_status;
