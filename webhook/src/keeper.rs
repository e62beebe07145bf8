//! Keeps the certificate: in a Secret that all replicas share, in what TLS serves, and its CA in our configuration.
//!
//! The leader among the replicas issues it, or somebody else does, such as cert-manager. A change goes in this order, so
//! that no call fails: the new certificate comes into the Secret and its CA beside the old one into the configuration; all
//! replicas and API servers get time to see that; each replica serves the new one; the old CA leaves. What somebody takes
//! away or changes is put back within ten seconds.

use std::{
    collections::BTreeMap,
    sync::atomic::AtomicU64,
    time::{Duration, SystemTime},
};

use k8s_openapi::{ByteString, api::core::v1::Secret};
use prometheus_client::metrics::gauge::Gauge;
use rustls_pki_types::ServerName;
use tentacular_cluster::{Cluster, Election, Error};
use tentacular_process::{health::Condition, http::tls::Serving, metrics::Metrics};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    certificate::{Pair, Unusable, Usable, issue},
    trust::Trust,
};

/// The Secret of a certificate that the webhook issues itself, made by the chart without data: a right to create Secrets
/// cannot be limited by name, and would allow one that holds another account's token.
const SECRET: &str = "tentacular-webhook-tls";
/// Keys of the Secret, as type `kubernetes.io/tls` and cert-manager name them.
const CA: &str = "ca.crt";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

/// First and longest pause after a failure.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Where the certificate comes from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// The leader issues it, for so long.
    Issued(Duration),
    /// Somebody else keeps it in the Secret of this name.
    Provided(String),
}

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

impl Source {
    fn secret(&self) -> &str {
        match self {
            Self::Issued(_) => SECRET,
            Self::Provided(name) => name,
        }
    }

    /// Who puts right what is wrong with the Secret's contents.
    const fn who_fills(&self) -> &'static str {
        match self {
            Self::Issued(_) => "the leader among the webhook's replicas issues another",
            Self::Provided(_) => "whoever --certificate-secret relies on provides another",
        }
    }

    const fn who_makes(&self) -> &'static str {
        match self {
            Self::Issued(_) => "the chart creates it without data",
            Self::Provided(_) => "--certificate-secret names it",
        }
    }
}

/// How fast a certificate is changed, by its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pace {
    /// Between two looks. While what somebody took away is missing, writes in enclaves are refused.
    look: Duration,
    /// How long a CA is trusted before what it signed is served, and how long the one of before stays after that.
    settle: Duration,
}

impl Pace {
    fn of(life: Duration) -> Self {
        Self {
            look: (life / 60).clamp(Duration::from_secs(1), Duration::from_secs(10)),
            settle: (life / 12).min(Duration::from_mins(10)),
        }
    }
}

/// The pairs that a replica knows.
#[derive(Debug, Default)]
struct Known {
    /// That in the Secret, and since when its CA is trusted.
    stored: Option<(Pair, Instant)>,
    /// That which is served, until when.
    served: Option<(Pair, SystemTime)>,
}

impl Known {
    /// How long the CA of `pair` has been trusted, as far as this replica knows.
    fn trusted(&self, pair: &Pair, at: Instant) -> Option<Duration> {
        self.stored.as_ref().filter(|(stored, _)| stored == pair).map(|(_, since)| at - *since)
    }

    /// Whether what is served is still to be, while another pair settles.
    fn holds_on(&self, trusted: Duration, pace: Pace, now: SystemTime) -> bool {
        trusted < pace.settle && self.served.as_ref().is_some_and(|(_, until)| *until > now)
    }
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
            let help = "When the certificate that is served expires, in seconds since 1970; 0 while there is none";
            registry.register("webhook_certificate_expiry_timestamp_seconds", help, expiry.0.clone());
        });
        expiry
    }

    fn set(&self, until: SystemTime) {
        self.0.set(until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64());
    }
}

fn data(pair: &Pair) -> BTreeMap<String, ByteString> {
    [(CA, &pair.ca), (CERTIFICATE, &pair.certificate), (KEY, &pair.key)]
        .map(|(key, pem)| (key.to_owned(), ByteString(pem.as_bytes().to_vec())))
        .into()
}

/// What a Secret holds. What is missing or no text is empty, and then unusable.
fn stored(secret: &Secret) -> Pair {
    let text = |key| {
        let bytes = secret.data.as_ref().and_then(|data| data.get(key));
        bytes.and_then(|bytes| String::from_utf8(bytes.0.clone()).ok()).unwrap_or_default()
    };
    Pair { ca: text(CA), certificate: text(CERTIFICATE), key: text(KEY) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR: Duration = Duration::from_hours(24 * 365);

    fn pair() -> Pair {
        let names = [ServerName::try_from("localhost").expect("a name")];
        issue(&names, SystemTime::now(), YEAR).expect("a pair")
    }

    #[test]
    fn a_pair_survives_its_secret() {
        let pair = pair();
        let mut secret = Secret { data: Some(data(&pair)), ..Secret::default() };
        assert_eq!(stored(&secret), pair);
        secret.data = None;
        assert_eq!(stored(&secret), Pair { ca: String::new(), certificate: String::new(), key: String::new() });
    }

    #[test]
    fn a_pair_settles_before_it_is_served_unless_there_is_nothing_else() {
        let (pace, now, at) = (Pace::of(YEAR), SystemTime::now(), Instant::now());
        let (old, new) = (pair(), pair());
        let mut known = Known::default();
        assert!(!known.holds_on(Duration::ZERO, pace, now), "nothing is served yet");
        known.served = Some((old.clone(), now + YEAR));
        known.stored = Some((new.clone(), at));
        assert_eq!(known.trusted(&new, at + pace.look), Some(pace.look));
        assert_eq!(known.trusted(&old, at + pace.look), None);
        assert!(known.holds_on(pace.settle / 2, pace, now));
        assert!(!known.holds_on(pace.settle, pace, now));
        assert!(!known.holds_on(Duration::ZERO, pace, now + YEAR), "what is served has expired");
    }

    #[test]
    fn a_change_is_over_long_before_the_certificate_is() {
        for life in [Duration::from_mins(1), Duration::from_hours(1), YEAR] {
            let Pace { look, settle } = Pace::of(life);
            assert!(look * 4 <= settle, "every replica looks several times while a certificate settles: {life:?}");
            assert!(settle * 2 + look * 4 <= life / 3, "{life:?}");
        }
    }
}
