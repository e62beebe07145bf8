//! The whole system on a real control plane: real binaries as processes, the product's own service accounts, real MCP
//! clients. One module a behaviour.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends with a panic")]

mod admission;
mod admission_serving;
mod applies;
mod audits;
mod call;
mod chart;
mod check;
mod client_leaves;
mod deadlines;
mod drain;
mod enclaves;
mod entrance;
mod explanations;
mod faults;
mod foreign_sidecar;
mod forged_headers;
mod forwarding_faults;
mod freshness;
mod hand_made;
mod health;
mod hostile;
mod images;
mod isolation;
mod keycloak;
mod listening;
mod matrix;
mod module_proxy;
mod monitoring;
mod observing;
mod oidc;
mod outage;
mod pass_through;
mod permissions;
mod pod_security;
mod preflight;
mod profile;
mod protocol_edges;
mod protocol_eras;
mod protocol_http;
mod protocol_versions;
mod runs;
mod schedule_faults;
mod schedules;
mod scope;
mod sidecar_restart;
mod start_errors;
mod strict_parse;
mod support;
mod thief;
mod tls;
mod whole_flow;
mod wire;
