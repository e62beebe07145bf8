//! What an apply does about a tentacle's shares of backing services, and its identity.

use chrono::Utc;
use tentacular_contract::reach::Scope;
use tentacular_process::link::ToolError;

use super::{plan::Plan, progress::Writing, release::Live, validate::Checked};
use crate::{
    backing::{self, Share, Tenant},
    registrar::Registrar,
};

/// Looks up what the tentacle has or will have of the services that its contract asks for, and adds that to the manifests. What
/// something speaks against stays as it is.
pub(super) async fn furnished(
    registrar: &Registrar,
    (scope, tenant): (&Scope<'_>, &Tenant),
    mut checked: Checked,
    release: &[Live],
    renew: bool,
) -> Result<(Checked, Vec<Share>), ToolError> {
    checked.violations.extend(backing::forged(scope.tentacle, &checked.manifests));
    if checked.services.is_empty() || !checked.violations.is_empty() {
        return Ok((checked, Vec::new()));
    }
    let secret = backing::secret(release, scope.tentacle.as_str());
    let now = Utc::now();
    let offers = registrar.backing.offers(tenant, &checked.services, secret, (renew, now)).await;
    let shares = offers.into_iter().collect::<Result<Vec<_>, _>>().map_err(|error| nothing_applied(&error))?;
    let mut warnings = Vec::new();
    let identified = registrar.backing.identifies(&mut warnings).await.map_err(|error| nothing_applied(&error))?;
    let furnish = |manifests: &mut Vec<_>| {
        if identified {
            backing::mount(scope.tentacle, manifests);
        }
        backing::furnish(scope, tenant, manifests, &shares, (secret, now))
    };
    let mut checked = checked.furnished(scope, furnish);
    checked.warnings.extend(warnings);
    if renew {
        checked.warnings.extend(shares.iter().filter(|share| !share.fresh).map(|share| {
            let service = share.service.as_str();
            if backing::Record::of(secret).is_pending(share.service) {
                format!("{service}: its credentials are new already, and are kept until no pod uses the former ones")
            } else {
                format!("{service}: the tentacle has no credential of its own there that could be renewed")
            }
        }));
    }
    Ok((checked, shares))
}

/// Makes the shares so and writes the plan that has them. All that can be checked has been, and what is written says what this
/// makes. Returns what the caller should know of the identity.
pub(super) async fn written(
    plan: &mut Plan<'_>,
    tenant: &Tenant,
    shares: &mut [Share],
    writing: &Writing<'_>,
) -> Result<Option<String>, ToolError> {
    writing.held.require()?;
    let backing = &writing.registrar.backing;
    if shares.is_empty() {
        plan.write(writing).await?;
        // The last of its services may have gone with this apply.
        return Ok(backing.forget(tenant).await.err());
    }
    let name = backing::secret_name(tenant.tentacle.as_str());
    let secret = plan.planned.iter().find(|planned| planned.manifest.is_secret(&name));
    let secret = secret.and_then(|planned| planned.live.as_ref());
    backing.register(tenant, shares, secret).await.map_err(|error| nothing_applied(&error))?;
    // That may have taken a while, and the caller may have lost the right.
    writing.recheck().await?;
    let warning = backing.identify(tenant).await;
    backing::complete(tenant.tentacle.as_str(), plan.manifests(), shares);
    plan.write(writing).await?;
    Ok(warning)
}

fn nothing_applied(error: &ToolError) -> ToolError {
    ToolError::new(format_args!("nothing was applied: {error}"))
}
