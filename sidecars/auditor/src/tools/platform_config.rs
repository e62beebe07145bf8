//! `platform_config`: where clients find what belongs to the platform and is not served here.

use std::{future::ready, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tentacular_contract::{Authz, Needs, On};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};

/// `platform_config` takes no arguments.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {}

/// The result of `platform_config`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct PlatformConfig {
    /// URL of the vector database for agents; empty where there is none.
    pub(crate) chroma_url: String,
    /// URL of the documentation; empty where there is none.
    pub(crate) docs_url: String,
}

/// What the kernel and clients are told of `platform_config`.
pub(crate) fn spec() -> ToolSpec {
    let authz = Authz::new(On::Cluster, Needs::Read);
    let description =
        "Tells where the platform's vector database and documentation are, as the installation sets it.";
    ToolSpec::new("platform_config", "Configuration of the platform", description, authz).read_only()
}

impl PlatformConfig {
    /// Answers one call.
    pub(crate) fn call(
        self: Arc<Self>,
        _permitted: Permitted,
        _arguments: Arguments,
    ) -> impl Future<Output = Result<Self, ToolError>> {
        ready(Ok(Self::clone(&self)))
    }
}
