//! The registrar's arguments.

use clap::Parser;
use tentacular_contract::{Platform, limits, module_proxy::ModuleProxy};
use tentacular_process::{Part, ProcessArgs, link::LinkArgs};

use crate::{backing::BackingArgs, enclave::name_pattern::NamePattern, module_proxy::warm};

/// The registrar of tentacular-mcp: makes enclaves, applies and removes tentacles.
#[derive(Debug, Parser)]
#[command(name = "tentacular-registrar", version)]
pub(crate) struct Args {
    /// Enclaves that one owner may make; the bearer token is not limited.
    #[arg(long, env = "TENTACULAR_ENCLAVES_PER_OWNER", default_value_t = limits::ENCLAVES_PER_OWNER)]
    pub(crate) enclaves_per_owner: usize,
    /// Regular expression that the whole name of a new enclave has to match, such as `team-[a-z0-9-]+`; left out, every name
    /// will do.
    #[arg(long, env = "TENTACULAR_ENCLAVE_NAME_PATTERN")]
    pub(crate) enclave_name_pattern: Option<NamePattern>,
    /// Name in which this process holds locks, which no other registrar has at the same time: the pod's name. A registrar
    /// that finds a lock of its own name takes it over, since its predecessor is dead. Left out, a random one.
    #[arg(long, env = "POD_NAME")]
    pub(crate) identity: Option<String>,
    #[command(flatten)]
    pub(crate) module_proxy: ModuleProxy,
    /// Base URL of the module proxy, with places for its namespace and the cluster's domain.
    #[arg(long, env = "TENTACULAR_PROXY_URL", default_value = warm::DEFAULT_URL)]
    pub(crate) proxy_url: String,
    #[command(flatten)]
    pub(crate) backing: BackingArgs,
    #[command(flatten)]
    pub(crate) platform: Platform,
    #[command(flatten)]
    pub(crate) link: LinkArgs,
    #[command(flatten)]
    pub(crate) process: ProcessArgs,
}

impl Part for Args {
    const NAME: &'static str = "registrar";
    const OBSERVE_PORT: u16 = 8082;

    fn process(&self) -> &ProcessArgs {
        &self.process
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn no_two_arguments_have_the_same_name() {
        Args::command().debug_assert();
    }
}
