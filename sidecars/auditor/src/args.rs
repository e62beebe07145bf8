//! The auditor's arguments.

use std::path::PathBuf;

use clap::{ArgAction, Args as Arguments, Parser};
use tentacular_contract::{
    Platform, module_proxy::ModuleProxy, platform::switch, tentacle_url::DEFAULT_TENTACLE_URL,
};
use tentacular_process::{Part, ProcessArgs, link::LinkArgs};

use crate::tools::cluster_preflight::Issuer;

/// The auditor of tentacular-mcp: observes and judges tentacles.
#[derive(Debug, Parser)]
#[command(name = "tentacular-auditor", version)]
pub(crate) struct Args {
    /// Base URL of tentacles, with places for their names; `/health` comes behind it.
    #[arg(long, env = "TENTACULAR_TENTACLE_URL", default_value = DEFAULT_TENTACLE_URL)]
    pub(crate) tentacle_url: String,
    /// URL of the platform's vector database, which `platform_config` tells.
    #[arg(long, env = "TENTACULAR_CHROMA_URL", default_value = "", hide_default_value = true)]
    pub(crate) chroma_url: String,
    /// URL of the platform's documentation, which `platform_config` tells.
    #[arg(long, env = "TENTACULAR_DOCS_URL", default_value = "", hide_default_value = true)]
    pub(crate) docs_url: String,
    #[command(flatten)]
    pub(crate) module_proxy: ModuleProxy,
    #[command(flatten)]
    pub(crate) provider: ProviderArgs,
    #[command(flatten)]
    pub(crate) link: LinkArgs,
    #[command(flatten)]
    pub(crate) platform: Platform,
    #[command(flatten)]
    pub(crate) process: ProcessArgs,
}

/// The kernel's settings of the identity provider, as far as the preflight asks it whether it answers.
#[derive(Debug, Arguments)]
#[command(next_help_heading = "OIDC (the same as the kernel's)")]
pub(crate) struct ProviderArgs {
    /// Whether the kernel accepts tokens of an identity provider: true, 1 or yes.
    #[arg(
        long = "oidc", env = "TENTACULAR_EXOSKELETON_AUTH_ENABLED", default_value = "false",
        value_parser = switch, action = ArgAction::Set
    )]
    enabled: bool,
    /// The issuer, exactly as its tokens spell it.
    #[arg(long = "oidc-issuer", env = "TENTACULAR_KEYCLOAK_ISSUER", default_value = "", hide_default_value = true)]
    issuer: String,
    /// PEM file of certificate authorities that are trusted for the identity provider beside the system's.
    #[arg(long = "oidc-ca-file", env = "TENTACULAR_AUTH_CA_FILE")]
    ca_file: Option<PathBuf>,
}

impl ProviderArgs {
    /// The provider, where one is configured.
    pub(crate) fn issuer(self) -> Option<Issuer> {
        let Self { enabled, issuer, ca_file } = self;
        (enabled && !issuer.is_empty()).then_some(Issuer { url: issuer, ca_file })
    }
}

impl Part for Args {
    const NAME: &'static str = "auditor";
    const OBSERVE_PORT: u16 = 8084;

    fn process(&self) -> &ProcessArgs {
        &self.process
    }
}
