//! Holding a Lease of `coordination.k8s.io/v1`: taking, renewing and releasing it, one step at a time. When to do
//! which is for whoever holds it.
//!
//! Every change carries the resource version that was read, so of two who judge the same state only one succeeds.

use std::{fmt, time::Duration};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::{SignedDuration, Timestamp},
};
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::{Cluster, error::Error, objects::Objects, options::Delete};

/// Who wants which Lease, and for how long at a time.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    leases: Objects<Lease>,
    name: String,
    identity: String,
    duration: Duration,
    counts_on: bool,
}

/// How trying to take a Lease ended.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// It is held now.
    Taken(Box<Term>),
    /// Somebody else holds it, or was faster.
    Busy {
        /// For how long, where the Lease says so.
        held: Option<Duration>,
    },
}

/// A Lease of somebody else, as it was seen. A holder who lives changes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    version: String,
    since: Instant,
}

impl Seen {
    /// The Lease with this resource version, seen now.
    pub(crate) fn now(version: impl Into<String>) -> Self {
        Self { version: version.into(), since: Instant::now() }
    }

    /// How long ago it was first seen like that.
    pub(crate) fn age(&self) -> Duration {
        self.since.elapsed()
    }
}

/// A Lease while it is held.
#[derive(Debug)]
pub(crate) struct Term {
    claim: Claim,
    lease: Lease,
    /// When the last renewal that succeeded was sent.
    renewed: Instant,
}

impl Claim {
    /// `duration` is written in whole seconds, rounded up.
    pub(crate) fn new(cluster: &Cluster, namespace: &str, name: &str, identity: &str, duration: Duration) -> Self {
        let leases = cluster.namespaced(namespace);
        Self { leases, name: name.to_owned(), identity: identity.to_owned(), duration, counts_on: false }
    }

    /// The same, with a Lease that is made anew counting its holders from the minutes since 1970 on. One that was deleted had
    /// counted less, as long as its holder changed less than once a minute.
    pub(crate) const fn counting_on(mut self) -> Self {
        self.counts_on = true;
        self
    }

    /// Tries once: one request when there is no such Lease, else up to three. `seen` is what earlier tries saw of
    /// somebody else's.
    ///
    /// Our own Lease is taken over, since whoever held it under this identity is dead. One whose time is over is taken
    /// over too: by its own times, or, should the clocks disagree, because it did not change for as long as it is good.
    pub(crate) async fn try_take(&self, seen: &mut Option<Seen>) -> Result<Attempt, Error> {
        let sent = Instant::now();
        match self.answer(self.leases.create(&self.fresh(Timestamp::now()))).await {
            Ok(lease) => return Ok(Attempt::Taken(self.term(lease, sent))),
            Err(Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(error),
        }
        let Some(lease) = self.answer(self.leases.get(&self.name)).await? else {
            return Ok(Attempt::Busy { held: None });
        };
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        if seen.as_ref().is_none_or(|seen| seen.version != version) {
            *seen = Some(Seen::now(version));
        }
        let watched = seen.as_ref().map_or(Duration::ZERO, Seen::age);
        let held = held_for(&lease, Timestamp::now());
        if !self.may_take(&lease, Timestamp::now(), watched) {
            return Ok(Attempt::Busy { held });
        }
        let sent = Instant::now();
        match self.answer(self.leases.patch(&self.name, &self.taking(&lease))).await {
            Ok(lease) => Ok(Attempt::Taken(self.term(lease, sent))),
            Err(Error::Conflict { .. } | Error::NotFound { .. }) => Ok(Attempt::Busy { held }),
            Err(error) => Err(error),
        }
    }

    /// Whether `lease` is free for this claim, when nobody changed it for as long as it was `watched`.
    fn may_take(&self, lease: &Lease, now: Timestamp, watched: Duration) -> bool {
        let Some(LeaseSpec { holder_identity: Some(holder), lease_duration_seconds, .. }) = &lease.spec else {
            return true;
        };
        let seconds = lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let duration = seconds.map_or(self.duration, Duration::from_secs);
        let is_over = last_sign(lease).is_some_and(|sign| {
            now.duration_since(sign) >= SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
        });
        holder.is_empty() || *holder == self.identity || is_over || watched >= duration
    }

    fn fresh(&self, now: Timestamp) -> Lease {
        let minutes = i32::try_from(now.as_second() / 60).unwrap_or(i32::MAX / 2);
        let now = MicroTime(now);
        Lease {
            metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: Some(self.seconds()),
                acquire_time: Some(now.clone()),
                renew_time: Some(now),
                lease_transitions: Some(if self.counts_on { minutes } else { 0 }),
                ..LeaseSpec::default()
            }),
        }
    }

    /// The merge patch that makes `lease` ours.
    fn taking(&self, lease: &Lease) -> serde_json::Value {
        let now = MicroTime(Timestamp::now());
        json!({
            "metadata": { "resourceVersion": lease.metadata.resource_version },
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": self.seconds(),
                "acquireTime": now,
                "renewTime": now,
                "leaseTransitions": transitions(lease).saturating_add(1),
            },
        })
    }

    fn term(&self, lease: Lease, sent: Instant) -> Box<Term> {
        Box::new(Term { claim: self.clone(), lease, renewed: sent })
    }

    fn seconds(&self) -> i32 {
        let whole = self.duration.as_secs() + u64::from(self.duration.subsec_nanos() > 0);
        i32::try_from(whole).unwrap_or(i32::MAX)
    }

    /// A later answer is of no use: a third of the Lease's time would be gone.
    async fn answer<T>(&self, request: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let within = self.duration / 3;
        match timeout(within, request).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::unanswered(&self.leases.about(Some(&self.name)), within)),
        }
    }
}

impl Term {
    /// When the last renewal that succeeded was sent.
    pub(crate) const fn renewed(&self) -> Instant {
        self.renewed
    }

    /// Renews once. `false` when the Lease is somebody else's now, or gone. After an error it may be renewed or not.
    pub(crate) async fn renew(&mut self) -> Result<bool, Error> {
        loop {
            let sent = Instant::now();
            let patch = json!({
                "metadata": { "resourceVersion": self.lease.metadata.resource_version },
                "spec": { "renewTime": MicroTime(Timestamp::now()) },
            });
            match self.claim.answer(self.claim.leases.patch(&self.claim.name, &patch)).await {
                Ok(lease) => {
                    self.lease = lease;
                    self.renewed = sent;
                    return Ok(true);
                }
                Err(Error::Conflict { .. } | Error::NotFound { .. }) => {
                    if !self.is_ours().await? {
                        return Ok(false);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The number of this holding: how often the Lease went from one holder to another.
    pub(crate) fn number(&self) -> i32 {
        transitions(&self.lease)
    }

    /// Leaves the Lease to whoever comes, with a count of at least `least`, unless it is somebody else's or gone.
    pub(crate) async fn vacate(&mut self, least: u32) -> Result<(), Error> {
        let number = self.number().max(i32::try_from(least).unwrap_or(i32::MAX));
        loop {
            let patch = json!({
                "metadata": { "resourceVersion": self.lease.metadata.resource_version },
                "spec": { "holderIdentity": "", "leaseTransitions": number },
            });
            match self.claim.answer(self.claim.leases.patch(&self.claim.name, &patch)).await {
                Err(Error::Conflict { .. } | Error::NotFound { .. }) => {
                    if !self.is_ours().await? {
                        return Ok(());
                    }
                }
                answer => return answer.map(drop),
            }
        }
    }

    /// Removes the Lease, unless it is somebody else's or gone.
    pub(crate) async fn release(&mut self) -> Result<(), Error> {
        loop {
            let this = Delete {
                uid: self.lease.metadata.uid.clone(),
                resource_version: self.lease.metadata.resource_version.clone(),
                ..Delete::default()
            };
            match self.claim.answer(self.claim.leases.delete(&self.claim.name, &this)).await {
                Err(Error::Conflict { .. }) => {
                    if !self.is_ours().await? {
                        return Ok(());
                    }
                }
                answer => return answer.map(drop),
            }
        }
    }

    /// Reads the Lease again: whether only something else than its holder changed, such as by a renewal of ours whose
    /// answer was lost.
    async fn is_ours(&mut self) -> Result<bool, Error> {
        let Some(lease) = self.claim.answer(self.claim.leases.get(&self.claim.name)).await? else {
            return Ok(false);
        };
        let term = |lease: &Lease| (lease.metadata.uid.clone(), transitions(lease), holder(lease).to_owned());
        let is_ours = term(&lease) == term(&self.lease);
        if is_ours {
            self.lease = lease;
        }
        Ok(is_ours)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.claim.leases.about(Some(&self.claim.name)).fmt(f)
    }
}

fn holder(lease: &Lease) -> &str {
    lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default()
}

/// How often the Lease went from one holder to another.
fn transitions(lease: &Lease) -> i32 {
    lease.spec.as_ref().and_then(|spec| spec.lease_transitions).unwrap_or(0)
}

fn last_sign(lease: &Lease) -> Option<Timestamp> {
    let spec = lease.spec.as_ref()?;
    spec.renew_time.as_ref().or(spec.acquire_time.as_ref()).map(|time| time.0)
}

fn held_for(lease: &Lease, now: Timestamp) -> Option<Duration> {
    let acquired = lease.spec.as_ref()?.acquire_time.as_ref()?;
    Some(Duration::try_from(now.duration_since(acquired.0)).unwrap_or_default())
}

#[cfg(test)]
mod tests;
