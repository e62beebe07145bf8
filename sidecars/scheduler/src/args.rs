//! The scheduler's arguments.

use clap::Parser;
use tentacular_contract::{Platform, tentacle_url::DEFAULT_TENTACLE_URL};
use tentacular_process::{Part, ProcessArgs, link::LinkArgs};

/// The scheduler of tentacular-mcp: runs tentacles.
#[derive(Debug, Parser)]
#[command(name = "tentacular-scheduler", version)]
pub(crate) struct Args {
    /// Base URL of tentacles, with places for their names; `/run` comes behind it.
    #[arg(long, env = "TENTACULAR_TENTACLE_URL", default_value = DEFAULT_TENTACLE_URL)]
    pub(crate) tentacle_url: String,
    #[command(flatten)]
    pub(crate) link: LinkArgs,
    #[command(flatten)]
    pub(crate) platform: Platform,
    #[command(flatten)]
    pub(crate) process: ProcessArgs,
}

impl Part for Args {
    const NAME: &'static str = "scheduler";
    const OBSERVE_PORT: u16 = 8083;

    fn process(&self) -> &ProcessArgs {
        &self.process
    }
}
