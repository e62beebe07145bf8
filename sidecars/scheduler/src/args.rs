//! The scheduler's arguments.

use clap::Parser;
use tentacular_contract::{Platform, limits::RUN_SECONDS, tentacle_url::DEFAULT_TENTACLE_URL};
use tentacular_process::{Part, ProcessArgs, link::LinkArgs};

/// The scheduler of tentacular-mcp: runs tentacles, on demand and by schedule.
#[derive(Debug, Parser)]
#[command(name = "tentacular-scheduler", version)]
pub(crate) struct Args {
    /// Base URL of tentacles, with places for their names; `/run` comes behind it.
    #[arg(long, env = "TENTACULAR_TENTACLE_URL", default_value = DEFAULT_TENTACLE_URL)]
    pub(crate) tentacle_url: String,
    /// Longest run that a schedule fires, in seconds, 1 to 600.
    #[arg(long, env = "TENTACULAR_CRON_RUN_SECONDS", default_value_t = RUN_SECONDS, value_parser = clap::value_parser!(u64).range(1..=RUN_SECONDS))]
    pub(crate) cron_run_seconds: u64,
    /// Name in which this process stands for leader, which no other scheduler has at the same time: the pod's name. Left
    /// out, a random one.
    #[arg(long, env = "POD_NAME")]
    pub(crate) identity: Option<String>,
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
