//! The whole system on a real control plane: real binaries as processes, the product's own service accounts, real MCP
//! clients. One module a behaviour.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends with a panic")]

mod admission;
mod drain;
mod foreign_sidecar;
mod forged_headers;
mod forwarding_faults;
mod protocol_eras;
mod scope;
mod sidecar_restart;
mod start_errors;
mod strict_parse;
mod support;
mod whole_flow;
