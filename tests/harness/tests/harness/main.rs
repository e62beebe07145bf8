//! The harness does what it says.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod child;
mod control_plane;
mod fault_proxy;
mod node;
mod provider;
mod services;
mod tcp_proxy;
