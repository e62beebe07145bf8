//! What every backing service does for the registrar.

use std::{fmt, time::Duration};

use backon::{ConstantBuilder, Retryable as _};
use chrono::{DateTime, Utc};
use futures::future::{BoxFuture, FutureExt as _};
use tentacular_contract::backing::{Isolation, Service};
use tokio::time::timeout;

use super::{
    share::{Fields, Share},
    tenant::Tenant,
};

/// Longest time for one call of a service.
pub(super) const WITHIN: Duration = Duration::from_secs(45);

/// Why a service did not do what it was asked for. Never holds a credential.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// It cannot be reached or used now; the same may work later.
    #[error("{0}")]
    Unavailable(String),
    /// It refuses this, and will again.
    #[error("{0}")]
    Refused(String),
}

impl Failure {
    /// That a service cannot say who has something of it.
    pub(super) fn no_record() -> Self {
        Self::Refused("it keeps no record of who has something of it".to_owned())
    }
}

impl From<tentacular_cluster::Error> for Failure {
    fn from(error: tentacular_cluster::Error) -> Self {
        if error.is_unavailable() { Self::Unavailable(error.to_string()) } else { Self::Refused(error.to_string()) }
    }
}

/// How far a service keeps tentacles apart, and why not further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) isolation: Isolation,
    pub(crate) reason: Option<String>,
}

/// A tentacle that has something of a service, whether it exists or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) tenant: Tenant,
    /// What it has, in the service's words.
    pub(crate) name: String,
    /// Since when, where that is recorded.
    pub(crate) since: Option<DateTime<Utc>>,
}

/// A service that is switched on. Each call is complete in itself: what one before it left half done, the next one finishes.
pub(crate) trait Backend: fmt::Debug + Send + Sync {
    /// Which one it is.
    fn service(&self) -> Service;

    /// Sees whether it can be used. Sets it up for tentacles where that was not done.
    fn probe(&self) -> BoxFuture<'_, Result<Kept, Failure>>;

    /// What the tenant's share is, or will be once it is registered. `current` is what its Secret says; a credential in it that
    /// still works is kept, unless it is to be renewed. Changes nothing.
    fn offer<'a>(
        &'a self,
        tenant: &'a Tenant,
        current: &'a Fields,
        renew: bool,
    ) -> BoxFuture<'a, Result<Share, Failure>>;

    /// Makes the share so, and completes it with what the service itself chooses of a fresh credential. A credential that was
    /// renewed goes on working.
    fn register<'a>(&'a self, tenant: &'a Tenant, share: &'a mut Share) -> BoxFuture<'a, Result<(), Failure>>;

    /// Ends every credential of the tenant but the share's, and the connections that were made with it.
    fn revoke<'a>(&'a self, tenant: &'a Tenant, share: &'a Share) -> BoxFuture<'a, Result<(), Failure>>;

    /// Removes what the tenant has, with all data, and ends its connections. `current` is what its Secret says. Returns what was
    /// done, or nothing where it has nothing.
    fn unregister<'a>(
        &'a self,
        tenant: &'a Tenant,
        current: &'a Fields,
    ) -> BoxFuture<'a, Result<Option<&'static str>, Failure>>;

    /// The tentacles that have something of it, by what it records itself.
    fn holders(&self) -> BoxFuture<'_, Result<Vec<Holder>, Failure>> {
        async { Err(Failure::no_record()) }.boxed()
    }
}

/// Gives up when it takes too long.
pub(super) async fn in_time<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let late = |_| Failure::Unavailable(format!("it was not done within {} s", WITHIN.as_secs()));
    timeout(WITHIN, work).await.map_err(late)?
}

/// Asks until there is an answer, so often at most, with this pause in between. Some services take a moment to know what they were
/// told.
pub(super) async fn ask_again<T, Answer>(
    (attempts, pause): (usize, Duration),
    ask: impl Fn() -> Answer,
) -> Result<Option<T>, Failure>
where
    Answer: Future<Output = Result<Option<T>, Failure>>,
{
    let pauses = ConstantBuilder::default().with_delay(pause).with_max_times(attempts - 1);
    let attempt = || {
        let answer = ask();
        async { answer.await.map_err(Some)?.ok_or(None) }
    };
    match attempt.retry(pauses).when(Option::is_none).await {
        Ok(answer) => Ok(Some(answer)),
        Err(None) => Ok(None),
        Err(Some(failure)) => Err(failure),
    }
}

/// Why a call was not answered, in a test where nothing else is right.
#[cfg(test)]
pub(super) fn unavailable(result: Result<impl Sized, Failure>) -> String {
    match result {
        Err(Failure::Unavailable(why)) => why,
        Err(Failure::Refused(why)) => panic!("refused: {why}"),
        Ok(_) => panic!("it was available"),
    }
}
