//! `exo_orphans`: what tentacles that do not exist any more still have in the backing services, and its removal.

mod remains;

use std::{fmt, sync::Arc};

use chrono::{SecondsFormat, Utc};
use futures::{StreamExt as _, future::join_all, stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tentacular_contract::{Authz, Needs, On, backing::Service};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};

use self::remains::{Remains, look, require_nothing};
use super::{
    Backing, refused,
    service::{Backend, Holder},
    share::Fields,
    tenant::Tenant,
};
use crate::registrar::Registrar;

/// Seconds within which the call ends.
const DEADLINE_SECONDS: u64 = 330;
/// Orphans on one page, unless the caller asks for another number.
const PAGE: usize = 100;
/// The most that a caller may ask for.
const LARGEST_PAGE: usize = 500;
/// The most that one call removes: each may take some seconds.
const MOST_REMOVED: usize = 20;
/// Tentacles that are looked for at the same time.
const AT_ONCE: usize = 16;

/// What `exo_orphans` declares.
pub(crate) fn spec() -> ToolSpec {
    ToolSpec::new(
        "exo_orphans",
        "Find what tentacles left in backing services",
        "Lists what tentacles that do not exist any more have in the backing services, with its age where that is recorded. \
         With service and confirm it removes what it lists of these tentacles, with all data; nothing brings that back. \
         What belongs to a tentacle of which anything exists is never touched. A service that several clusters share says \
         nothing of the cluster: there, tentacles of the others are listed too.",
        Authz::new(On::Cluster, Needs::Own).within_seconds(DEADLINE_SECONDS),
    )
    .destructive()
    .idempotent()
}

/// Arguments of `exo_orphans`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// Only this service: postgres, nats or rustfs. Default all. Needed with `confirm`.
    #[serde(default)]
    #[schemars(extend("enum" = ["postgres", "nats", "rustfs"]))]
    service: Option<String>,
    /// Remove what these have of the service, each as enclave/tentacle, at most 20. Default none: only list.
    #[serde(default)]
    #[schemars(length(max = 20))]
    confirm: Vec<String>,
    /// How many orphans to show, 1 to 500. Default 100.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    limit: Option<usize>,
    /// Where to go on: `next_cursor` of the answer before.
    #[serde(default)]
    cursor: Option<String>,
}

/// A page of orphans.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Page {
    /// What was removed, one entry a tentacle.
    removed: Vec<String>,
    /// What there is of tentacles that do not exist, by service, enclave and tentacle.
    orphans: Vec<Orphan>,
    /// How many there are on all pages together.
    total: usize,
    /// Whether there are more: ask again with `next_cursor` as `cursor`.
    truncated: bool,
    /// Where the next page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// What could not be looked at, and why.
    warnings: Vec<String>,
}

/// What a tentacle that does not exist has of a service.
#[derive(Debug, Serialize, JsonSchema)]
struct Orphan {
    /// The service.
    service: &'static str,
    /// The tentacle as enclave/tentacle: what `confirm` takes.
    tentacle: String,
    /// What it has, in the service's words.
    name: String,
    /// RFC 3339 time since when it has it; absent where that is not recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// How many whole days that is ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_days: Option<i64>,
}

impl Orphan {
    fn of(service: Service, holder: Holder) -> Self {
        let Holder { tenant, name, since } = holder;
        Self {
            service: service.as_str(),
            tentacle: tenant.to_string(),
            name,
            since: since.map(|since| since.to_rfc3339_opts(SecondsFormat::Secs, true)),
            age_days: since.map(|since| (Utc::now() - since).num_days()),
        }
    }

    /// What it is sorted by.
    fn cursor(&self) -> String {
        format!("{}/{}", self.service, self.tentacle)
    }
}

/// Lists the orphans, after it removed those that the caller confirms.
pub(crate) async fn orphans(
    registrar: Arc<Registrar>,
    _permitted: Permitted,
    arguments: Arguments,
) -> Result<Page, ToolError> {
    let Arguments { service, confirm, limit, cursor } = arguments;
    let limit = limit.unwrap_or(PAGE);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(ToolError::new(format_args!("limit {limit} is out of range: give 1 to {LARGEST_PAGE}")));
    }
    let chosen = registrar.backing.chosen(service.as_deref())?;
    let removed = match &chosen[..] {
        _ if confirm.is_empty() => Vec::new(),
        [backend] if service.is_some() => remove(&registrar, *backend, &confirm).await?,
        _ => {
            return Err(ToolError::new(
                "nothing was removed: confirm needs service; name the one from which it is to be removed",
            ));
        }
    };
    let (mut orphans, mut warnings) = (Vec::new(), Vec::new());
    let listed = join_all(chosen.iter().map(async |backend| (backend.service(), backend.holders().await))).await;
    for (service, holders) in listed {
        match holders {
            Ok(holders) => left(&registrar, service, holders, (&mut orphans, &mut warnings)).await,
            Err(failure) => warnings.push(format!("{} cannot be looked through: {failure}", service.as_str())),
        }
    }
    let total = orphans.len();
    orphans.sort_by_cached_key(Orphan::cursor);
    orphans.retain(|orphan| cursor.as_ref().is_none_or(|cursor| orphan.cursor() > *cursor));
    let more = orphans.len() > limit;
    orphans.truncate(limit);
    let next_cursor = orphans.last().filter(|_| more).map(Orphan::cursor);
    Ok(Page { removed, orphans, total, truncated: more, next_cursor, warnings })
}

impl Backing {
    /// The enabled service of that name, or all that are enabled.
    fn chosen(&self, name: Option<&str>) -> Result<Vec<&dyn Backend>, ToolError> {
        let named = |backend: &&dyn Backend| name.is_none_or(|name| name == backend.service().as_str());
        let chosen: Vec<_> = self.services.iter().map(|backend| &**backend).filter(named).collect();
        match name {
            Some(name) if chosen.is_empty() => {
                Err(ToolError::new(format_args!("exoskeleton: {name:?} not enabled; exo_status shows what is")))
            }
            _ => Ok(chosen),
        }
    }
}

/// Adds those of the holders that do not exist to the orphans.
async fn left(
    registrar: &Registrar,
    service: Service,
    holders: Vec<Holder>,
    (orphans, warnings): (&mut Vec<Orphan>, &mut Vec<String>),
) {
    let looks = holders.into_iter().map(async |holder| (look(registrar, &holder.tenant).await, holder));
    for (remains, holder) in stream::iter(looks).buffered(AT_ONCE).collect::<Vec<_>>().await {
        match remains {
            Remains::Nothing { .. } => orphans.push(Orphan::of(service, holder)),
            Remains::Something => {}
            Remains::Unknown(why) => {
                let tenant = holder.tenant;
                warnings.push(format!(
                    "whether {tenant}, which has {} in {}, exists is not known: {why}",
                    holder.name,
                    service.as_str()
                ));
            }
        }
    }
}

/// Removes what the confirmed have of the service. Nothing, unless all are named rightly and none exists.
async fn remove(
    registrar: &Registrar,
    backend: &dyn Backend,
    confirmed: &[String],
) -> Result<Vec<String>, ToolError> {
    let nothing = |why: &dyn fmt::Display| ToolError::new(format_args!("nothing was removed: {why}"));
    if confirmed.len() > MOST_REMOVED {
        return Err(nothing(&format_args!("confirm names {}; give at most {MOST_REMOVED}", confirmed.len())));
    }
    let mut tenants = Vec::new();
    for name in confirmed {
        let tenant: Tenant = name.parse().map_err(|why| nothing(&format_args!("confirm: {name:?}: {why}")))?;
        require_nothing(&tenant, look(registrar, &tenant).await).map_err(|error| nothing(&error))?;
        tenants.push(tenant);
    }
    let mut removed: Vec<String> = Vec::new();
    for tenant in tenants {
        let done = remove_one(registrar, backend, &tenant).await.map_err(|error| {
            let so_far = if removed.is_empty() { "nothing".to_owned() } else { removed.join(", ") };
            ToolError::new(format_args!("stopped at {tenant}: {error}; removed until then: {so_far}"))
        })?;
        let (service, Tenant { enclave, tentacle }) = (backend.service().as_str(), &tenant);
        tracing::info!(service, %enclave, %tentacle, done, "what an orphan had is removed");
        removed.push(format!("{tenant}: {} {done}", backend.service().as_str()));
    }
    Ok(removed)
}

async fn remove_one(
    registrar: &Registrar,
    backend: &dyn Backend,
    tenant: &Tenant,
) -> Result<&'static str, ToolError> {
    // Nobody applies it meanwhile. Where there is no enclave nobody can.
    let held = match look(registrar, tenant).await {
        Remains::Nothing { enclave: true } => {
            Some(registrar.locks.tentacle(&tenant.enclave, &tenant.tentacle).await?)
        }
        _ => None,
    };
    let removed = match require_nothing(tenant, look(registrar, tenant).await) {
        Ok(()) => {
            let removed = backend.unregister(tenant, &Fields::new()).await;
            removed.map_err(|failure| refused(backend.service(), " cleanup", &failure))
        }
        Err(error) => Err(error),
    };
    if let Some(held) = held {
        held.release().await;
    }
    Ok(removed?.unwrap_or("had nothing"))
}
