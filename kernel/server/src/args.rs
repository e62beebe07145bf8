//! The kernel's arguments.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Parser;
use tentacular_contract::{ClusterRead, Platform};
use tentacular_process::{Part, ProcessArgs};

use crate::{authn::OidcArgs, command::Command, edge::OriginArgs, tls::TlsArgs};

/// The kernel of tentacular-mcp: one MCP endpoint in front of the sidecars.
#[derive(Debug, Parser)]
#[command(name = "tentacular-kernel", version)]
pub(crate) struct Args {
    /// Address of the MCP endpoint: `host:port`, or `:port` for all addresses.
    #[arg(long, env = "LISTEN_ADDR", default_value = ":8080", value_parser = listen_address)]
    pub(crate) listen: SocketAddr,
    /// File that holds the bearer token.
    #[arg(long, env = "TOKEN_PATH", default_value = "/etc/tentacular-mcp/token")]
    pub(crate) token_path: PathBuf,
    /// `false` switches off who may do what; what is valid is still checked.
    #[arg(long, env = "TENTACULAR_AUTHZ_ENABLED", default_value_t = true, action = clap::ArgAction::Set)]
    pub(crate) authorization: bool,
    /// Who may call tools about the whole cluster: everybody who is `authenticated`, or the `bearer` token alone.
    #[arg(long, env = "TENTACULAR_AUTHZ_CLUSTER_READ", default_value_t, value_enum)]
    pub(crate) cluster_read: ClusterRead,
    /// Seconds during which the listener still accepts after SIGTERM, while endpoints are withdrawn.
    #[arg(long, env = "TENTACULAR_LINGER_SECONDS", default_value_t = 5)]
    pub(crate) linger_seconds: u64,
    /// Folder of the sidecars' sockets.
    #[arg(long, env = "TENTACULAR_RUN_DIR", default_value = "/run/tentacular")]
    pub(crate) run_dir: PathBuf,
    /// Uid that the registrar's socket must belong to [default: the own uid].
    #[arg(long, env = "TENTACULAR_REGISTRAR_UID")]
    pub(crate) registrar_uid: Option<u32>,
    /// Uid that the scheduler's socket must belong to [default: the own uid].
    #[arg(long, env = "TENTACULAR_SCHEDULER_UID")]
    pub(crate) scheduler_uid: Option<u32>,
    /// Uid that the auditor's socket must belong to [default: the own uid].
    #[arg(long, env = "TENTACULAR_AUDITOR_UID")]
    pub(crate) auditor_uid: Option<u32>,
    #[command(flatten)]
    pub(crate) oidc: OidcArgs,
    #[command(flatten)]
    pub(crate) origin: OriginArgs,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    #[command(flatten)]
    pub(crate) platform: Platform,
    #[command(flatten)]
    pub(crate) process: ProcessArgs,
    /// What to do instead of serving.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Reads `:8080` as all addresses, as the chart writes the variable.
fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let full = if text.starts_with(':') { format!("[::]{text}") } else { text.to_owned() };
    full.parse().map_err(|_| "give host:port or :port, such as 127.0.0.1:8080".to_owned())
}

/// The entries of a comma list, without the empty ones.
pub(crate) fn listed(entries: Vec<String>) -> impl Iterator<Item = String> {
    entries.into_iter().map(|entry| entry.trim().to_owned()).filter(|entry| !entry.is_empty())
}

impl Part for Args {
    const NAME: &'static str = "kernel";
    const OBSERVE_PORT: u16 = 8081;

    fn process(&self) -> &ProcessArgs {
        &self.process
    }

    fn subcommand(&mut self) -> Option<anyhow::Result<ExitCode>> {
        Some(self.command.take()?.run(self))
    }
}
