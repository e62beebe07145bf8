//! What every process of tentacular-mcp agrees on: keys, names, modes, callers, and the decision who may do what.
//!
//! Everything here is pure: no clock, no network, no cluster. The kernel decides with it, the sidecars decide again
//! with it before they write, and the webhook validates with the same parsers that the others read with.

pub mod authz;
pub mod backing;
pub mod caller;
pub mod cron;
pub mod evaluate;
pub mod facts;
pub mod header;
pub mod instant;
pub mod keys;
pub mod limits;
pub mod mode;
pub mod module_proxy;
pub mod names;
pub mod network;
pub mod permit;
pub mod platform;
pub mod pod_security;
pub mod pod_state;
pub mod reach;
pub mod release;
pub mod tentacle_url;
pub mod text;
pub mod workflow;
pub mod workload;

pub use authz::{Absent, Authz, Frozen, Needs, On};
pub use caller::{Caller, Email, Identity};
pub use evaluate::{ClusterRead, Denied, Policy, Question, evaluate};
pub use facts::{Enclave, Place, Status, Tentacle};
pub use mode::Mode;
pub use names::{EnclaveName, TentacleName};
pub use permit::{Permit, Right, Rule};
pub use platform::Platform;
pub use workload::Workload;
