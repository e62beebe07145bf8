//! Renewing tentacles' credentials, and revoking those that were replaced, without anybody's call: in time before they expire or
//! become too old, and as soon as no pod uses the former ones any more.
//!
//! Every registrar does this. What there is to do follows from what is recorded on each Secret, and the tentacle's lock keeps them
//! out of each other's way. Nothing of a frozen enclave is touched: what is due there is done when it thaws.

use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    hash::{Hash as _, Hasher as _},
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use futures::{FutureExt as _, StreamExt as _, stream};
use k8s_openapi::api::core::v1::Secret;
use tentacular_cluster::{Metadata, PerEnclave};
use tentacular_contract::{Status, keys, release::release_of};
use tentacular_process::{Context, link::ToolError};
use tokio::time::sleep;

use super::{
    manifests::secret_name,
    record::{Longest, Record, part},
    tenant::Tenant,
};
use crate::{
    registrar::Registrar,
    tentacle::renew::{Looked, Wanted, look},
};

/// Pause between two looks at what is recorded, which cost nothing.
const TICK: Duration = Duration::from_secs(1);
/// Tentacles that are looked at at the same time: the services have others to serve.
const AT_ONCE: usize = 4;
/// Tentacles that are looked at before it is asked anew who is due: a service that does not answer holds up the others no longer.
const BATCH: usize = 8 * AT_ONCE;
/// Pause between two looks at a tentacle's credentials that may expire by themselves, and up to a tenth more.
const PERIOD: TimeDelta = TimeDelta::hours(1);
/// First pause between two looks at one that waits for its pods or its services, which doubles up to the last.
const FIRST_PAUSE: TimeDelta = TimeDelta::seconds(2);
const LAST_PAUSE: TimeDelta = TimeDelta::minutes(5);

/// What is seen of a tentacle's credentials without seeing them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    tenant: Tenant,
    made: DateTime<Utc>,
    record: Record,
}

impl Seen {
    /// By the metadata of the Secret that the server made; none for one that somebody else made.
    fn of(Metadata { metadata, .. }: Metadata<Secret>) -> Option<Self> {
        let enclave = metadata.namespace.as_ref()?;
        let tentacle = release_of(&metadata).filter(|release| metadata.name == Some(secret_name(release)))?;
        let tenant = Tenant { enclave: enclave.parse().ok()?, tentacle: tentacle.parse().ok()? };
        let made = metadata.creation_timestamp?.0.as_second();
        let record = Record::read(metadata.annotations.as_ref());
        Some(Self { tenant, made: DateTime::from_timestamp(made, 0)?, record })
    }
}

impl Tenant {
    /// A number from 0 to 1 that is the tenant's own.
    pub(super) fn spread(&self) -> f64 {
        let mut hasher = DefaultHasher::new();
        (&self.enclave, &self.tentacle).hash(&mut hasher);
        f64::from(u32::try_from(hasher.finish() >> 32).unwrap_or_default()) / f64::from(u32::MAX)
    }
}

/// Has all that done in the background, where there are services.
pub(crate) fn start(registrar: &Arc<Registrar>, context: &Context) {
    if registrar.backing.services.is_empty() {
        return;
    }
    let (cluster, enclaves) = (registrar.cluster.clone(), registrar.enclaves.clone());
    let (secrets, watching) = PerEnclave::keeping(cluster, enclaves, Some(keys::EXOSKELETON), Seen::of);
    context.spawn("credentials", async move {
        watching.await;
        Ok(())
    });
    let renewing = follow(Arc::clone(registrar), secrets);
    context.spawn("renewal of credentials", async move {
        renewing.await;
        Ok(())
    });
}

/// Does what is due, again and again. Never ends.
async fn follow(registrar: Arc<Registrar>, secrets: PerEnclave<Metadata<Secret>, Seen>) {
    let mut agenda = Agenda { longest_age: registrar.backing.max_credential_age, entries: BTreeMap::new() };
    secrets.ready().await;
    loop {
        let open = registrar.enclaves.list().into_iter();
        let open = open.filter(|enclave| enclave.status != Status::Frozen && !enclave.terminating);
        let seen: Vec<_> = open.flat_map(|enclave| secrets.list(&enclave.name)).collect();
        let due = agenda.due(seen.iter().map(|seen| &**seen), Utc::now());
        let looks = due.into_iter().map(|(tenant, wanted)| {
            let registrar = &registrar;
            async move {
                let looked = outcome(&tenant, look(registrar, &tenant, wanted, Utc::now())).await;
                (tenant, wanted, looked)
            }
        });
        let mut looks = stream::iter(looks).buffer_unordered(AT_ONCE);
        while let Some((tenant, wanted, looked)) = looks.next().await {
            agenda.looked(&tenant, wanted, looked, Utc::now());
        }
        registrar.backing.failing.store(agenda.failing(), Ordering::Relaxed);
        sleep(TICK).await;
    }
}

/// What a look came to, nothing where it failed. It reads what the tentacle's people wrote: one that panics fails alone.
async fn outcome(tenant: &Tenant, look: impl Future<Output = Result<Looked, ToolError>>) -> Option<Looked> {
    let Tenant { enclave, tentacle } = tenant;
    let error = match AssertUnwindSafe(look).catch_unwind().await {
        Ok(Ok(looked)) => return Some(looked),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the look ended in a panic, which is a defect of the registrar".to_owned(),
    };
    tracing::warn!(%enclave, %tentacle, error, "credentials of backing services are not renewed; trying again");
    None
}

/// When to look at which tentacle next.
#[derive(Debug)]
struct Agenda {
    longest_age: Option<TimeDelta>,
    entries: BTreeMap<Tenant, Entry>,
}

#[derive(Debug)]
struct Entry {
    seen: Seen,
    /// When to see whether anything is to be renewed.
    renew: DateTime<Utc>,
    /// When to see whether former credentials can be revoked, if there are any.
    revoke: Option<DateTime<Utc>>,
    /// How often in a row it was looked in vain.
    in_vain: u32,
    failed: bool,
}

impl Agenda {
    /// Of those that are there, those that are due, a batch at most, whoever waits longest first. Those that are not there are
    /// forgotten.
    fn due<'a>(&mut self, there: impl Iterator<Item = &'a Seen>, now: DateTime<Utc>) -> Vec<(Tenant, Wanted)> {
        let mut before = std::mem::take(&mut self.entries);
        for seen in there {
            let known = before.remove(&seen.tenant).filter(|entry| entry.seen == *seen);
            let mut entry = known.unwrap_or_else(|| Entry {
                renew: self.next(seen, seen.record.newest(seen.made)),
                revoke: (!seen.record.pending().is_empty()).then_some(now),
                in_vain: 0,
                failed: false,
                seen: seen.clone(),
            });
            // A clock that was ahead and was put right would hold it up.
            entry.renew = entry.renew.min(now + PERIOD + PERIOD / 10);
            entry.revoke = entry.revoke.map(|at| at.min(now + LAST_PAUSE));
            self.entries.insert(seen.tenant.clone(), entry);
        }
        let due = self.entries.iter().filter_map(|(tenant, entry)| {
            let (at, wanted) = if entry.renew <= now {
                (entry.renew, Wanted::All)
            } else {
                (entry.revoke.filter(|at| *at <= now)?, Wanted::Pending)
            };
            Some((at, tenant, wanted))
        });
        let mut due: Vec<_> = due.collect();
        due.sort_unstable_by_key(|(at, ..)| *at);
        due.into_iter().take(BATCH).map(|(_, tenant, wanted)| (tenant.clone(), wanted)).collect()
    }

    /// Notes what a look came to, nothing where it failed.
    fn looked(&mut self, tenant: &Tenant, wanted: Wanted, looked: Option<Looked>, now: DateTime<Utc>) {
        let Some(seen) = self.entries.get(tenant).map(|entry| entry.seen.clone()) else { return };
        let renew = self.next(&seen, now);
        let Some(entry) = self.entries.get_mut(tenant) else { return };
        entry.failed = looked.is_none();
        if wanted == Wanted::All {
            entry.renew = renew;
        }
        if looked == Some(Looked::Settled) {
            (entry.in_vain, entry.revoke) = (0, None);
            return;
        }
        let pause = (FIRST_PAUSE * 2_i32.saturating_pow(entry.in_vain.min(16))).min(LAST_PAUSE);
        entry.in_vain += 1;
        if looked.is_none() && wanted == Wanted::All {
            entry.renew = now + pause;
        } else {
            entry.revoke = Some(now + pause);
        }
    }

    /// When to look next after `last`.
    fn next(&self, seen: &Seen, last: DateTime<Utc>) -> DateTime<Utc> {
        let spread = seen.tenant.spread();
        let next = last + PERIOD + part(PERIOD / 10, spread);
        let old = self.longest_age.map(|age| seen.record.first_end(seen.made, Longest::new(age, spread)));
        // What a look at that time left as it is will not be looked at all the time.
        old.filter(|old| *old > last).map_or(next, |old| old.min(next))
    }

    fn failing(&self) -> usize {
        self.entries.values().filter(|entry| entry.failed).count()
    }
}

#[cfg(test)]
mod tests;
