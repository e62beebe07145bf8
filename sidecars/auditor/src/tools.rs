//! The auditor's tools, one module each. All of them only read.

pub(crate) mod audit_netpol;
pub(crate) mod audit_psa;
pub(crate) mod audit_rbac;
pub(crate) mod audit_resources;
pub(crate) mod authz_explain;
pub(crate) mod cluster_preflight;
pub(crate) mod cluster_profile;
pub(crate) mod health_cluster_summary;
pub(crate) mod health_nodes;
pub(crate) mod health_ns_usage;
pub(crate) mod platform_config;
pub(crate) mod proxy_status;
pub(crate) mod wf_describe;
pub(crate) mod wf_events;
pub(crate) mod wf_health;
pub(crate) mod wf_health_ns;
pub(crate) mod wf_jobs;
pub(crate) mod wf_list;
pub(crate) mod wf_logs;
pub(crate) mod wf_pods;
pub(crate) mod wf_status;
