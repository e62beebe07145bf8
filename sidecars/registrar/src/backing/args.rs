//! Arguments of the backing services.

use clap::{ArgAction, Args};

use super::{nats::NatsArgs, postgres::PostgresArgs, rustfs::RustfsArgs};

/// Which services there are for tentacles.
#[derive(Debug, Args)]
#[command(next_help_heading = "Backing services")]
pub(crate) struct BackingArgs {
    /// Give tentacles shares of the backing services that are configured: true, 1 or yes.
    #[arg(
        long = "exoskeleton", env = "TENTACULAR_EXOSKELETON_ENABLED", default_value = "false", value_parser = switch,
        action = ArgAction::Set
    )]
    pub(super) enabled: bool,
    /// Remove what a tentacle has in the backing services, with its data, when the tentacle is removed: true, 1 or yes.
    #[arg(
        long = "exoskeleton-cleanup", env = "TENTACULAR_EXOSKELETON_CLEANUP_ON_UNDEPLOY", default_value = "false",
        value_parser = switch, action = ArgAction::Set
    )]
    pub(super) cleanup_on_undeploy: bool,
    #[command(flatten)]
    pub(super) postgres: PostgresArgs,
    #[command(flatten)]
    pub(super) nats: NatsArgs,
    #[command(flatten)]
    pub(super) rustfs: RustfsArgs,
}

/// Reads a switch as installations have always written it.
fn switch(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" | "" => Ok(false),
        _ => Err("give true or false"),
    }
}
