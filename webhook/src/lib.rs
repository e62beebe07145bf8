//! The validating admission webhook: holds the rules of enclaves against everybody who writes around the server.

pub mod admit;
mod args;
pub mod callers;
mod certificate;
mod check;
mod command;
pub mod decisions;
mod keeper;
pub mod namespaces;
pub mod review;
mod room;
mod run;
mod server;
mod server_version;
mod trust;
mod wire;

pub use args::Args;
pub use run::run;
