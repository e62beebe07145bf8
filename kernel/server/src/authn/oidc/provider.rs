//! Fetches the keys of the identity provider in the background (OpenID Connect Discovery 1.0 section 4, RFC 7517).

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use arc_swap::ArcSwapOption;
use reqwest::{Client, Url, redirect::Policy};
use serde::Deserialize;
use tentacular_contract::{limits::SHOWN_CHARACTERS, text};
use tentacular_process::{Context, health::Health, http::root_cause, trust};
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::{Instant, sleep_until, timeout},
};

use super::{KeySet, Settings};

/// Between two fetches that nobody asked for. A key that was withdrawn is refused after this time at the latest.
const REFRESH: Duration = Duration::from_mins(5);
/// Between two fetches at least, whatever key ids arrive.
const PAUSE: Duration = Duration::from_secs(3);
/// Between two attempts that fail, at most.
const RETRY: Duration = Duration::from_secs(30);
/// For one request to the provider.
const REQUEST: Duration = Duration::from_secs(5);
/// How long a caller waits for keys.
const WAIT: Duration = Duration::from_secs(8);
/// Callers who wait at the same time.
const WAITING: usize = 512;
/// Keys that could not be confirmed for longer count no more.
const KEEP: Duration = Duration::from_hours(24);
/// Longest document that is read, in bytes.
const DOCUMENT_BYTES: usize = 1024 * 1024;

/// The published keys of the moment. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Keys(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    fetched: ArcSwapOption<Fetched>,
    /// Fetches that have begun. A caller who needs news waits for one that began later.
    begun: AtomicU64,
    ended: watch::Sender<Ended>,
    asked: Notify,
    waiting: Semaphore,
}

#[derive(Debug)]
struct Fetched {
    keys: Arc<KeySet>,
    at: Instant,
}

/// The newest fetch that has ended.
#[derive(Debug, Clone, Copy, Default)]
struct Ended {
    fetch: u64,
    well: bool,
}

impl Keys {
    fn new() -> Self {
        Self(Arc::new(Shared {
            fetched: ArcSwapOption::empty(),
            begun: AtomicU64::new(0),
            ended: watch::Sender::default(),
            asked: Notify::new(),
            waiting: Semaphore::new(WAITING),
        }))
    }

    /// The keys, unless they were never fetched or are too old.
    pub(super) fn get(&self) -> Option<Arc<KeySet>> {
        let fetched = self.0.fetched.load();
        fetched.as_ref().filter(|fetched| fetched.at.elapsed() < KEEP).map(|fetched| Arc::clone(&fetched.keys))
    }

    /// The keys as they are from now on: asks for a fetch and waits for it. `None` when it failed or takes too long.
    pub(super) async fn fetched_again(&self) -> Option<Arc<KeySet>> {
        // Above it nobody is kept waiting: each waits with a connection and a request.
        let _place = self.0.waiting.try_acquire().ok()?;
        let mut ended = self.0.ended.subscribe();
        let next = match self.get() {
            // What is on its way may be older than the key that is missed.
            Some(_) => self.0.begun.load(Ordering::SeqCst) + 1,
            None => ended.borrow().fetch + 1,
        };
        self.0.asked.notify_one();
        let ended = timeout(WAIT, ended.wait_for(|ended| ended.fetch >= next)).await.ok()?.ok()?.well;
        if ended { self.get() } else { None }
    }
}

/// What is read of the discovery document.
#[derive(Debug, Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: Url,
}

/// The identity provider.
pub(super) struct Provider {
    http: Client,
    issuer: String,
    keys: Keys,
    health: Health,
}

impl Provider {
    pub(super) fn new(settings: &Settings, context: &Context) -> anyhow::Result<(Self, Keys)> {
        let keys = Keys::new();
        let provider = Self {
            http: client(settings)?,
            issuer: settings.issuer.clone(),
            keys: keys.clone(),
            health: context.health.clone(),
        };
        Ok((provider, keys))
    }

    /// Fetches now and then, and when somebody asks. Never ends.
    pub(super) async fn follow(self) -> anyhow::Result<()> {
        let mut failures: u32 = 0;
        let mut complaint = String::new();
        loop {
            let fetch = self.keys.0.begun.fetch_add(1, Ordering::SeqCst) + 1;
            let answer = self.fetch().await;
            let well = answer.is_ok();
            match answer {
                Ok(keys) => {
                    if failures > 0 || fetch == 1 {
                        tracing::info!(keys = keys.len(), "the identity provider's keys were fetched");
                    }
                    self.keys.0.fetched.store(Some(Arc::new(Fetched { keys: Arc::new(keys), at: Instant::now() })));
                    self.health.note("identity provider", "up");
                    (failures, complaint) = (0, String::new());
                }
                Err(error) => {
                    failures += 1;
                    // It may hold whatever the provider answered.
                    let error = text::line(&format!("{error:#}"), SHOWN_CHARACTERS);
                    self.health.note("identity provider", format!("away: {error}"));
                    if complaint != error {
                        tracing::warn!(error, "the identity provider's keys cannot be fetched");
                        complaint = error;
                    }
                }
            }
            self.keys.0.ended.send_replace(Ended { fetch, well });
            self.until_next(failures).await;
        }
    }

    /// Waits until it is time again, or somebody asks; never less than the pause.
    async fn until_next(&self, failures: u32) {
        let now = Instant::now();
        let wait = match failures {
            0 => REFRESH,
            failures => PAUSE.saturating_mul(failures).min(RETRY),
        };
        tokio::select! {
            () = sleep_until(now + wait) => {}
            () = self.keys.0.asked.notified() => sleep_until(now + PAUSE).await,
        }
    }

    async fn fetch(&self) -> anyhow::Result<KeySet> {
        let place = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let document = self.get(Url::parse(&place)?).await?;
        let discovery: Discovery =
            serde_json::from_slice(&document).with_context(|| format!("{place} is no discovery document"))?;
        let Discovery { issuer, jwks_uri } = discovery;
        ensure!(issuer == self.issuer, "{place} names the issuer {issuer:?}; --oidc-issuer must spell it the same");
        if self.issuer.starts_with("https:") && jwks_uri.scheme() != "https" {
            bail!("{place} points to keys without TLS ({jwks_uri})");
        }
        let keys = self.get(jwks_uri.clone()).await?;
        let keys = KeySet::read(&keys).with_context(|| format!("{jwks_uri} is no key set"))?;
        ensure!(keys.len() > 0, "{jwks_uri} has no key that can verify a signature");
        Ok(keys)
    }

    async fn get(&self, url: Url) -> anyhow::Result<Vec<u8>> {
        let failed = |error: reqwest::Error| anyhow::anyhow!("GET {url}: {}", root_cause(&error));
        let mut response = self.http.get(url.clone()).send().await.map_err(failed)?;
        ensure!(response.status().is_success(), "GET {url}: HTTP {}", response.status());
        let mut document = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            document.extend_from_slice(&chunk);
            ensure!(document.len() <= DOCUMENT_BYTES, "GET {url}: the answer is larger than 1 MiB");
        }
        Ok(document)
    }
}

/// A client that trusts the system's authorities and those of the settings, and follows no redirection: where keys come from is
/// for the settings and the discovery document to say.
fn client(settings: &Settings) -> anyhow::Result<Client> {
    let roots = trust::system_and(settings.ca_file.as_deref()).context("--oidc-ca-file")?;
    let client = Client::builder()
        .tls_backend_preconfigured(trust::client_config(roots)?)
        .redirect(Policy::none())
        .timeout(REQUEST)
        .user_agent(concat!("tentacular-mcp/", env!("CARGO_PKG_VERSION")))
        .build()?;
    Ok(client)
}
