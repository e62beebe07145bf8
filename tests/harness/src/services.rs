//! The services that a platform offers its tentacles: real servers, each a process on loopback with temporary data.
//!
//! One that cannot be had on this machine is none, with a printed reason; where `CI` is set that is an error.

mod daemon;
mod minio;
mod nats;
mod operator;
pub(crate) mod packages;
mod postgres;
mod versitygw;

pub(crate) use self::packages::absent;
pub use self::{
    daemon::Daemon,
    minio::Minio,
    nats::{Access, Nats, refuses, round_trip},
    operator::{Operator, User},
    postgres::{Login, Postgres},
    versitygw::Versitygw,
};

/// Builds those that are built and not in the cache; the others are only fetched.
pub(crate) async fn prepare() -> anyhow::Result<()> {
    for service in [minio::MINIO, versitygw::VERSITYGW] {
        service.program().await?;
    }
    Ok(())
}
