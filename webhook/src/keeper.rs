//! Keeps the certificate: in a Secret that all replicas share, in what TLS serves, and its CA in our configuration.
//!
//! The leader among the replicas issues it, or somebody else does, such as cert-manager. A change goes in this order, so
//! that no call fails: the new certificate comes into the Secret and its CA beside the old one into the configuration; all
//! replicas and API servers get time to see that; each replica serves the new one; the old CA leaves. What somebody takes
//! away or changes is put back within ten seconds.

mod change;
mod secret;

use std::{
    sync::atomic::AtomicU64,
    time::{Duration, SystemTime},
};

use k8s_openapi::api::core::v1::Secret;
use prometheus_client::metrics::gauge::Gauge;
use rustls_pki_types::ServerName;
use tentacular_cluster::{Cluster, Election, Error};
use tentacular_process::{health::Condition, http::tls::Serving, metrics::Metrics};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use self::{
    change::{Known, Pace},
    secret::{data, stored},
};
use crate::{
    certificate::{Pair, Unusable, Usable, issue},
    trust::Trust,
};

pub(crate) use self::secret::Source;

/// First and longest pause after a failure.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Keeps the certificate of one replica.
#[derive(Debug)]
pub(crate) struct Keeper {
    /// The cluster it serves.
    pub(crate) cluster: Cluster,
    /// The server's namespace.
    pub(crate) namespace: String,
    /// What the certificate must hold for.
    pub(crate) names: Vec<ServerName<'static>>,
    /// Where it comes from.
    pub(crate) source: Source,
    /// Where its CA goes.
    pub(crate) trust: Trust,
    /// Where TLS takes it from.
    pub(crate) serving: Serving,
    /// When what is served expires.
    pub(crate) expiry: Expiry,
}

/// Why a round failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Cluster(#[from] Error),
    #[error("a certificate cannot be issued: {0}")]
    Issue(#[from] rcgen::Error),
    #[error("an issued certificate cannot be used: {0}")]
    Unusable(#[from] Unusable),
    #[error("Secret {0} does not exist; {1}")]
    NoSecret(String, &'static str),
    #[error("the certificate in Secret {0} cannot be used: {1}; {2}")]
    Waiting(String, Unusable, &'static str),
    #[error("ValidatingWebhookConfiguration {0} does not exist; the chart creates it")]
    NoConfiguration(String),
}

impl Keeper {
    /// Looks after the certificate for ever. `ready` is met once it is served and the API server trusts it.
    pub(crate) async fn keep(self, mut leads: watch::Receiver<bool>, ready: Condition) -> anyhow::Result<()> {
        let (mut known, mut pause) = (Known::default(), RETRY.0);
        loop {
            let leading = *leads.borrow_and_update();
            let next = match self.look(&mut known, leading, SystemTime::now(), Instant::now()).await {
                Ok(pace) => {
                    ready.set(true);
                    pause = RETRY.0;
                    pace.look
                }
                Err(error) => {
                    tracing::warn!(%error, retry_seconds = pause.as_secs(), "the certificate is not in place");
                    let next = pause;
                    pause = (pause * 2).min(RETRY.1);
                    next
                }
            };
            tokio::select! {
                () = tokio::time::sleep(next) => {}
                changed = leads.changed() => changed?,
            }
        }
    }

    /// One round: read or issue, let the API server trust it, serve.
    async fn look(&self, known: &mut Known, leads: bool, now: SystemTime, at: Instant) -> Result<Pace, Failure> {
        let (pair, usable) = self.pair(leads, now).await?;
        let pace = Pace::of(usable.life());
        let trusted = known.trusted(&pair, at);
        let alone = leads && trusted.is_some_and(|trusted| trusted >= pace.settle * 2);
        let served = known.served.as_ref().filter(|_| !alone).map(|(served, _)| served.ca.as_str());
        let needed: Vec<_> = [pair.ca.as_str()].into_iter().chain(served).collect();
        self.trust.hold(&needed, alone).await?;
        if trusted.is_none() {
            known.stored = Some((pair.clone(), at));
        }
        let is_served = known.served.as_ref().is_some_and(|(served, _)| *served == pair);
        if !is_served && !known.holds_on(trusted.unwrap_or_default(), pace, now) {
            self.serving.set(usable.key);
            self.expiry.set(usable.until);
            known.served = Some((pair, usable.until));
            tracing::info!(secret = self.source.secret(), "another certificate is served from now on");
        }
        Ok(pace)
    }

    /// The pair in the Secret; the leader makes or replaces it where that is needed and ours to do.
    async fn pair(&self, leads: bool, now: SystemTime) -> Result<(Pair, Usable), Failure> {
        let (secrets, name) = (self.cluster.namespaced::<Secret>(&self.namespace), self.source.secret());
        let missing = || Failure::NoSecret(name.to_owned(), self.source.who_makes());
        let found = secrets.get(name).await?.ok_or_else(missing)?;
        let pair = stored(&found);
        let checked = pair.check(&self.names, now);
        let life = match self.source {
            Source::Issued(life) if leads => life,
            _ => {
                let waiting = |reason| Failure::Waiting(name.to_owned(), reason, self.source.who_fills());
                return checked.map(|usable| (pair, usable)).map_err(waiting);
            }
        };
        let reason = match checked {
            Ok(usable) if !usable.is_due(now) => return Ok((pair, usable)),
            Ok(_) => "two thirds of its life are over".to_owned(),
            Err(reason) => reason.to_string(),
        };
        tracing::info!(secret = name, reason, "issuing a certificate");
        let pair = issue(&self.names, now, life)?;
        // The resource version stays: what somebody else wrote in the meantime is looked at first.
        secrets.replace(&Secret { data: Some(data(&pair)), ..found }).await?;
        let usable = pair.check(&self.names, now)?;
        Ok((pair, usable))
    }
}

/// Stands for leader until `draining`, and says whether this replica leads.
pub(crate) async fn stand(election: Election, leads: watch::Sender<bool>, draining: CancellationToken) {
    while !draining.is_cancelled() {
        let leadership = tokio::select! {
            leadership = election.lead() => leadership,
            () = draining.cancelled() => return,
        };
        tracing::info!(term = leadership.term(), "leading: this replica looks after the certificate");
        leads.send_replace(true);
        tokio::select! {
            () = leadership.lost() => {}
            () = draining.cancelled() => {}
        }
        leads.send_replace(false);
        tracing::info!(term = leadership.term(), "leading no more");
        leadership.resign(0).await;
    }
}

/// When the certificate that is served expires, as a metric.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expiry(Gauge<f64, AtomicU64>);

impl Expiry {
    /// Registers it in `metrics`; 0 while none is served.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let expiry = Self::default();
        metrics.register(|registry| {
            let help =
                "When the certificate that this replica serves expires, in seconds since 1970; 0 while there is none";
            registry.register("webhook_certificate_expiry_timestamp_seconds", help, expiry.0.clone());
        });
        expiry
    }

    fn set(&self, until: SystemTime) {
        self.0.set(until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64());
    }
}
