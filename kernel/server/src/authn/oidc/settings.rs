//! Which identity provider is trusted, and what its tokens must say.

use std::{collections::BTreeSet, path::PathBuf};

use anyhow::{bail, ensure};
use clap::{ArgAction, Args};
use tentacular_contract::platform::switch;
use url::Url;

use crate::{args::listed, edge::ExternalUrl};

/// Arguments of OIDC, under the variables that installations have.
#[derive(Debug, Args)]
#[command(next_help_heading = "OIDC")]
pub(crate) struct OidcArgs {
    /// Accept access tokens of an identity provider beside the bearer token: true, 1 or yes.
    #[arg(
        long = "oidc", env = "TENTACULAR_EXOSKELETON_AUTH_ENABLED", default_value = "false",
        value_parser = switch, action = ArgAction::Set
    )]
    enabled: bool,
    /// The issuer, exactly as its tokens spell it.
    #[arg(long = "oidc-issuer", env = "TENTACULAR_KEYCLOAK_ISSUER", default_value = "", hide_default_value = true)]
    issuer: String,
    /// This server's client id at the identity provider; its tokens are trusted, and so is it as an audience.
    #[arg(
        long = "oidc-client-id",
        env = "TENTACULAR_KEYCLOAK_CLIENT_ID",
        default_value = "",
        hide_default_value = true
    )]
    client_id: String,
    /// Further clients (`azp`, `client_id`) whose tokens are trusted, separated by commas.
    #[arg(
        long = "oidc-trusted-azps",
        env = "TENTACULAR_KEYCLOAK_TRUSTED_AZPS",
        default_value = "",
        hide_default_value = true,
        value_delimiter = ','
    )]
    trusted_azps: Vec<String>,
    /// Refuse tokens whose audience does not name this server, also those of trusted clients: true, 1 or yes.
    #[arg(
        long = "oidc-require-audience", env = "TENTACULAR_AUTH_REQUIRE_AUDIENCE", default_value = "false",
        value_parser = switch, action = ArgAction::Set
    )]
    require_audience: bool,
    /// Take an email address without a mark of being verified for verified: true, 1 or yes.
    #[arg(
        long = "oidc-trust-unmarked-email", env = "TENTACULAR_AUTH_TRUST_UNMARKED_EMAIL", default_value = "false",
        value_parser = switch, action = ArgAction::Set
    )]
    trust_unmarked_email: bool,
    /// Scopes that every token must have, separated by commas.
    #[arg(
        long = "oidc-required-scopes",
        env = "TENTACULAR_AUTH_REQUIRED_SCOPES",
        default_value = "",
        hide_default_value = true,
        value_delimiter = ','
    )]
    required_scopes: Vec<String>,
    /// PEM file of certificate authorities that are trusted for the identity provider beside the system's.
    #[arg(long = "oidc-ca-file", env = "TENTACULAR_AUTH_CA_FILE")]
    ca_file: Option<PathBuf>,
}

/// What was set, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(super) issuer: String,
    pub(super) client_id: String,
    pub(super) trusted_clients: BTreeSet<String>,
    /// The URL of this server's MCP endpoint, which a token may name as its audience (RFC 8707).
    pub(super) resource: Option<String>,
    pub(super) require_audience: bool,
    pub(super) trust_unmarked_email: bool,
    pub(super) required_scopes: Vec<String>,
    pub(super) ca_file: Option<PathBuf>,
}

impl Settings {
    /// Checks the arguments; `None` when OIDC is off. The error lists everything that is wrong.
    pub(crate) fn from_args(args: OidcArgs, external_url: Option<&ExternalUrl>) -> anyhow::Result<Option<Self>> {
        if !args.enabled {
            return Ok(None);
        }
        let mut problems = Vec::new();
        if let Err(problem) = check_issuer(&args.issuer) {
            problems.push(problem.to_string());
        }
        if args.client_id.is_empty() {
            problems.push("--oidc-client-id (TENTACULAR_KEYCLOAK_CLIENT_ID) is missing".to_owned());
        }
        if !problems.is_empty() {
            bail!("OIDC is on, but {}", problems.join("; "));
        }
        Ok(Some(Self {
            trusted_clients: listed(args.trusted_azps).chain([args.client_id.clone()]).collect(),
            issuer: args.issuer,
            client_id: args.client_id,
            resource: external_url.map(ExternalUrl::resource),
            require_audience: args.require_audience,
            trust_unmarked_email: args.trust_unmarked_email,
            required_scopes: listed(args.required_scopes).flat_map(|scopes| words(&scopes)).collect(),
            ca_file: args.ca_file,
        }))
    }
}

/// Scopes hold no white space (RFC 6749 section 3.3), so it separates them too.
fn words(scopes: &str) -> Vec<String> {
    scopes.split_whitespace().map(str::to_owned).collect()
}

/// An issuer is an http or https URL without query and fragment (OpenID Connect Discovery 1.0 section 3).
fn check_issuer(issuer: &str) -> anyhow::Result<()> {
    const FLAG: &str = "--oidc-issuer (TENTACULAR_KEYCLOAK_ISSUER)";
    ensure!(!issuer.is_empty(), "{FLAG} is missing");
    let Ok(url) = Url::parse(issuer) else { bail!("{FLAG} is not a URL") };
    ensure!(matches!(url.scheme(), "http" | "https"), "{FLAG} must begin with https://");
    ensure!(url.query().is_none() && url.fragment().is_none(), "{FLAG} must have no query and no fragment");
    if url.scheme() == "http" {
        tracing::warn!(issuer, "the issuer is reached over plain HTTP: whoever sits between can replace its keys");
    }
    Ok(())
}
