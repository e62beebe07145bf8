//! The only crate that speaks to the Kubernetes API, and the only one that names `kube`.
//!
//! [`Cluster`] reads and writes objects, [`Enclaves`] watches which namespaces are enclaves, and [`PerEnclave`]
//! watches one kind of object in each of them. The types of `k8s-openapi` are used as they are; what else of `kube`
//! a process needs is re-exported here. [`Locks`] keep two processes from changing the same thing at once, and of
//! several processes [`Election`] makes one the leader.

mod cause;
mod client;
mod connect;
mod election;
mod enclaves;
mod error;
mod follow;
mod freshness;
mod kind;
mod lease;
mod lock;
mod logs;
mod objects;
mod observe;
mod options;
mod per_enclave;
mod retry;
mod store;

pub use cause::Cause;
pub use client::Cluster;
pub use election::{Election, Leadership, Times as ElectionTimes};
pub use enclaves::{Enclaves, enclave_of};
pub use error::Error;
pub use freshness::{Freshness, STALE_AFTER, Stale};
pub use kind::{CustomKind, Kind};
pub use kube::core::{DynamicObject as Object, PartialObjectMeta as Metadata, TypeMeta};
pub use lock::{Lock, LockError, Locks};
pub use logs::{Log, LogQuery};
pub use objects::{Namespaced, Objects, Stored, Typed};
pub use options::{Conflicts, Delete, Propagation, Selector};
pub use per_enclave::PerEnclave;
pub use retry::{retry_on_conflict, retry_on_conflict_or_outage, retry_until_bound};
pub use store::Changes;

/// Field manager of every write, so that server-side apply knows which fields are the server's.
pub const FIELD_MANAGER: &str = "tentacular";
