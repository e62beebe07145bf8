//! The link between kernel and sidecars: MCP (stateless Streamable HTTP) on a Unix socket in the run folder.

pub mod client;
pub mod envelope;
mod peer;
mod permitted;
mod server;
mod socket;
mod tool;

pub use permitted::{Permitted, ToolError};
pub use server::{LinkArgs, Sidecar};
pub use socket::{SOCKET_SUFFIX, SocketError};
pub use tool::ToolSpec;

#[cfg(test)]
mod tests;
