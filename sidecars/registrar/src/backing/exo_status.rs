//! `exo_status`: which backing services there are, and whether they can be used now.

use std::sync::{Arc, atomic::Ordering};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tentacular_contract::{
    Authz, Needs, On,
    backing::{Found, Isolation, Service},
};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};

use crate::registrar::Registrar;

/// What `exo_status` declares.
pub(crate) fn spec() -> ToolSpec {
    ToolSpec::new(
        "exo_status",
        "Show the backing services",
        "Shows which backing services tentacles can be given a share of (a dependency tentacular-postgres, -nats or -rustfs \
         in workflow.yaml), whether each can be used now and why not, and how far it keeps tentacles apart. The services \
         are probed every 30 seconds.",
        Authz::new(On::Cluster, Needs::Read),
    )
    .read_only()
}

/// `exo_status` takes no arguments.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {}

/// The backing services.
#[derive(Debug, Serialize, JsonSchema)]
#[expect(clippy::struct_excessive_bools, reason = "clients know each by its name")]
pub(crate) struct ExoStatus {
    /// Whether tentacles are given shares of backing services at all.
    enabled: bool,
    /// Whether what a tentacle has in them is removed, with its data, when the tentacle is removed.
    cleanup_on_undeploy: bool,
    /// Whether `tentacular-postgres` can be used now.
    postgres_available: bool,
    /// Whether `tentacular-nats` can be used now.
    nats_available: bool,
    /// Whether `tentacular-rustfs` can be used now.
    rustfs_available: bool,
    /// Whether tentacles get identities for mutual TLS now.
    spire_available: bool,
    /// Whether NATS admits tentacles by these identities.
    nats_spiffe_enabled: bool,
    /// Whether callers may sign in at an identity provider.
    auth_enabled: bool,
    /// Which one: the issuer of their tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_issuer: Option<String>,
    /// How many hours old a tentacle's credentials may become; absent where only those are renewed that expire by themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_credential_age_hours: Option<i64>,
    /// Of how many tentacles the credentials could not be renewed, or former ones not be revoked, when that was last tried; the
    /// log names them with the reasons. It is tried again.
    renewals_failing: usize,
    /// Each service. Empty where they are switched off, or not probed yet.
    services: Vec<ServiceStatus>,
}

/// A backing service.
#[derive(Debug, Serialize, JsonSchema)]
struct ServiceStatus {
    /// Its name.
    #[schemars(with = "String")]
    name: Service,
    /// Whether it is switched on.
    enabled: bool,
    /// Whether it can be used now.
    available: bool,
    /// How far it keeps tentacles apart: `full`, `partial` or `none`; absent when not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    isolation: Option<&'static str>,
    /// Why it cannot be used, or does not keep tentacles apart in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// RFC 3339 time of the probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
}

/// Shows what the last probes found.
pub(crate) async fn show(
    registrar: Arc<Registrar>,
    _permitted: Permitted,
    Arguments {}: Arguments,
) -> Result<ExoStatus, ToolError> {
    let backing = &registrar.backing;
    let found = backing.status.now();
    let available = |service| found.get(&service).is_some_and(|found| found.available);
    Ok(ExoStatus {
        enabled: backing.enabled,
        cleanup_on_undeploy: backing.cleanup_on_undeploy,
        postgres_available: available(Service::Postgres),
        nats_available: available(Service::Nats),
        rustfs_available: available(Service::Rustfs),
        spire_available: available(Service::Spire),
        nats_spiffe_enabled: backing.nats_spiffe,
        auth_enabled: backing.issuer.is_some(),
        auth_issuer: backing.issuer.clone(),
        max_credential_age_hours: backing.max_credential_age.map(|age| age.num_hours()),
        renewals_failing: backing.failing.load(Ordering::Relaxed),
        services: found.iter().map(|(service, found)| ServiceStatus::of(*service, found.clone())).collect(),
    })
}

impl ServiceStatus {
    fn of(name: Service, found: Found) -> Self {
        let Found { enabled, available, isolation, reason, time } = found;
        Self { name, enabled, available, isolation: isolation.map(Isolation::as_str), detail: reason, time }
    }
}
