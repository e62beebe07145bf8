//! A real control plane, the processes and an MCP client, for demo and tests.

pub mod binaries;
pub mod chart;
pub mod child;
pub mod cluster;
pub mod control_plane;
pub mod definitions;
pub mod eventually;
pub mod fault_proxy;
pub mod installation;
pub mod keycloak;
pub mod mcp;
pub mod node;
pub mod part;
pub mod promtool;
pub mod provider;
pub mod scratch;
pub mod service;
pub mod services;
pub mod shared;
pub mod stack;
pub mod tcp_proxy;
pub mod tls;

mod cache;
mod certificates;
mod credentials;
mod go_module;
mod policies;
mod port;
mod say;

pub use child::{Child, Program};
pub use cluster::Cluster;
pub use control_plane::ControlPlane;
pub use eventually::{eventually, until};
pub use fault_proxy::FaultProxy;
pub use installation::Installation;
pub use keycloak::Keycloak;
pub use node::Node;
pub use part::Part;
pub use provider::Provider;
pub use scratch::Scratch;
pub use service::Service;
pub use shared::background;
pub use stack::Stack;
pub use tcp_proxy::{TcpFault, TcpProxy};
