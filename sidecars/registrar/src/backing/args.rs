//! Arguments of the backing services.

use chrono::TimeDelta;
use clap::{ArgAction, Args};
use tentacular_contract::platform;

use super::{nats::NatsArgs, postgres::PostgresArgs, rustfs::RustfsArgs, spire::SpireArgs};

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
    /// How old a tentacle's credentials may become, such as 90d or 720h, at least 1h: then, or up to a tenth of that earlier, they
    /// are renewed and its pods replaced. Empty, only those are renewed that expire by themselves.
    #[arg(
        long = "exoskeleton-max-credential-age", env = "TENTACULAR_EXOSKELETON_MAX_CREDENTIAL_AGE", default_value = "",
        value_parser = age
    )]
    pub(super) max_credential_age: Age,
    #[command(flatten)]
    pub(super) postgres: PostgresArgs,
    #[command(flatten)]
    pub(super) nats: NatsArgs,
    #[command(flatten)]
    pub(super) rustfs: RustfsArgs,
    #[command(flatten)]
    pub(super) spire: SpireArgs,
    #[command(flatten)]
    pub(super) provider: ProviderArgs,
}

/// The kernel's settings of the identity provider, as far as `exo_status` shows them.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "OIDC (the same as the kernel's)")]
pub(crate) struct ProviderArgs {
    /// Whether the kernel accepts tokens of an identity provider: true, 1 or yes.
    #[arg(
        long = "oidc", env = "TENTACULAR_EXOSKELETON_AUTH_ENABLED", default_value = "false", value_parser = switch,
        action = ArgAction::Set
    )]
    oidc: bool,
    /// The issuer, exactly as its tokens spell it.
    #[arg(long = "oidc-issuer", env = "TENTACULAR_KEYCLOAK_ISSUER", default_value = "", hide_default_value = true)]
    oidc_issuer: String,
}

impl ProviderArgs {
    /// The issuer whose tokens the kernel accepts, if there is one.
    pub(super) fn issuer(self) -> Option<String> {
        Some(self.oidc_issuer).filter(|issuer| self.oidc && !issuer.is_empty())
    }
}

/// How old something may become, if there is a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Age(pub(super) Option<TimeDelta>);

/// Reads an age in days or hours.
fn age(text: &str) -> Result<Age, &'static str> {
    const PROBLEM: &str = "give a number of days or hours, as 90d or 720h, from 1h to 36500d";
    if text.is_empty() {
        return Ok(Age(None));
    }
    let hours = match text.strip_suffix('d') {
        Some(days) => days.parse::<u32>().ok().and_then(|days| days.checked_mul(24)),
        None => text.strip_suffix('h').and_then(|hours| hours.parse().ok()),
    };
    let hours = hours.filter(|hours| (1..=36_500 * 24).contains(hours));
    hours.map(|hours| Age(Some(TimeDelta::hours(hours.into())))).ok_or(PROBLEM)
}

/// Reads a switch, which may also be left empty.
pub(super) fn switch(text: &str) -> Result<bool, &'static str> {
    if text.is_empty() { Ok(false) } else { platform::switch(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_a_number_of_days_or_hours() {
        for (text, hours) in [("1h", 1), ("90d", 2160), ("720h", 720), ("36500d", 876_000)] {
            assert_eq!(age(text), Ok(Age(Some(TimeDelta::hours(hours)))), "{text}");
        }
        assert_eq!(age(""), Ok(Age(None)));
        for text in ["d", "0d", "0h", "1", "1m", "-1d", "1.5d", "36501d", "99999999999d", "4294967295d", "1 d"] {
            assert!(age(text).is_err(), "{text}");
        }
    }
}
