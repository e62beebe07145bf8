//! What every process of tentacular-mcp shares: arguments, logs, metrics, signals, drain, health, the HTTP server, the
//! measure of JSON, and both ends of the link between kernel and sidecars.

mod bootstrap;
pub mod engine;
pub mod files;
pub mod health;
pub mod http;
pub mod json;
pub mod link;
mod logs;
pub mod metrics;
pub mod trust;

pub use bootstrap::{Context, Part, ProcessArgs, main};
