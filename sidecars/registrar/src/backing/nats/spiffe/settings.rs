//! Where the entries of tentacles are written.

use clap::{ArgAction, Args};

use crate::backing::args::switch;

/// Arguments of the entries, under the variables that installations have.
#[derive(Debug, Args)]
pub(crate) struct SpiffeArgs {
    /// Let NATS admit tentacles by the SPIFFE identity in their certificates (`verify_and_map` in its tls): true, 1 or yes. Which
    /// subjects each may use is written into a `ConfigMap` that the server includes.
    #[arg(
        id = "nats-spiffe", long = "nats-spiffe", env = "TENTACULAR_NATS_SPIFFE_ENABLED", default_value = "false",
        value_parser = switch, action = ArgAction::Set
    )]
    pub(super) enabled: bool,
    /// Name of that `ConfigMap`, whose key `authorization.conf` has `authorization { users = [ … ] }`.
    #[arg(
        id = "nats-authz-configmap",
        long = "nats-authz-configmap",
        env = "TENTACULAR_NATS_AUTHZ_CONFIGMAP",
        default_value = "nats-tentacular-authz"
    )]
    pub(super) config_map: String,
    /// Its namespace.
    #[arg(
        id = "nats-authz-namespace",
        long = "nats-authz-namespace",
        env = "TENTACULAR_NATS_AUTHZ_NAMESPACE",
        default_value = "tentacular-exoskeleton"
    )]
    pub(super) namespace: String,
}

impl SpiffeArgs {
    /// Whether tentacles are admitted so.
    pub(in crate::backing) const fn is_enabled(&self) -> bool {
        self.enabled
    }
}
