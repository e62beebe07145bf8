//! The auditor's arguments.

use clap::Parser;
use tentacular_contract::{Platform, tentacle_url::DEFAULT_TENTACLE_URL};
use tentacular_process::{Part, ProcessArgs, link::LinkArgs};

/// The auditor of tentacular-mcp: observes and judges tentacles.
#[derive(Debug, Parser)]
#[command(name = "tentacular-auditor", version)]
pub(crate) struct Args {
    /// Base URL of tentacles, with places for their names; `/health` comes behind it.
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
    const NAME: &'static str = "auditor";
    const OBSERVE_PORT: u16 = 8084;

    fn process(&self) -> &ProcessArgs {
        &self.process
    }
}
