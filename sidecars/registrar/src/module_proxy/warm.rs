//! Asks the module proxy for the modules of a workflow after it was applied, so that it has them when the tentacle does.
//! It is a favour: nobody waits for it, all of it is bounded, and what does not go into the bounds is left out.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, stream};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use reqwest::{Client, Url, redirect::Policy};
use tentacular_contract::module_proxy::Module;
use tentacular_process::{Context, http::root_cause};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

/// Where the module proxy answers, with places for its namespace and the cluster's domain.
pub(crate) const DEFAULT_URL: &str = "http://esm-sh.{namespace}.svc.{domain}:8080";

/// Modules that are asked for at the same time.
const AT_ONCE: usize = 3;
/// Modules that wait, of all applies together.
const WAITING: usize = 200;
/// Modules of one apply.
const OF_ONE_APPLY: usize = 50;
/// How long after an apply its modules are asked for.
const WITHIN: Duration = Duration::from_mins(1);
/// How long one module may take. The proxy builds it first.
const FOR_ONE: Duration = Duration::from_secs(30);
/// How far an answer is followed that leads on: from a range of versions to a version.
const REDIRECTS: usize = 3;
/// Most of an answer that is read, in bytes.
const BODY: usize = 4 * 1024 * 1024;
/// The proxy builds a module for whoever asks, and tentacles are Deno.
const USER_AGENT: &str = "Deno/2.0.0";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    result: &'static str,
}

/// Takes modules that are to be asked for. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Warmer {
    queue: mpsc::Sender<Asked>,
    results: Family<Labels, Counter>,
}

#[derive(Debug)]
struct Asked {
    module: Module,
    /// When nobody is interested in it any more.
    until: Instant,
}

/// Why a module is not known to be there.
#[derive(Debug, thiserror::Error)]
enum Cold {
    #[error("the module proxy answers with HTTP status {0}")]
    Status(u16),
    #[error("the module proxy does not answer: {0}")]
    NoAnswer(String),
    #[error("the module proxy answers with more than {BODY} bytes")]
    TooLong,
    #[error("the module proxy took too long")]
    Late,
}

impl Cold {
    const fn label(&self) -> &'static str {
        match self {
            Self::Status(_) => "http-error",
            Self::NoAnswer(_) => "no-answer",
            Self::TooLong => "too-large",
            Self::Late => "late",
        }
    }
}

impl Warmer {
    /// Begins to ask the module proxy at `url`, until the process drains.
    ///
    /// Fails when no client can be made.
    pub(crate) fn start(url: String, context: &Context) -> anyhow::Result<Self> {
        let (queue, mut waiting) = mpsc::channel(WAITING);
        let results = Family::default();
        context.metrics.register(|registry| {
            let help = "Modules that the module proxy was to be asked for after an apply, by `result`: `warm`; `http-error`, `no-answer` \
                        or `too-large` of the proxy; `late`, 30 s for one or a minute for all were over; `left-out`, there were \
                        more than it is asked for";
            registry.register("module_warmings", help, results.clone());
        });
        let asker = Arc::new(Asker { client: client()?, url, results: results.clone() });
        let draining = context.draining.clone();
        context.spawn("warming", async move {
            let waiting = stream::poll_fn(|context| waiting.poll_recv(context));
            let all = waiting.for_each_concurrent(AT_ONCE, move |asked| Arc::clone(&asker).ask(asked));
            draining.run_until_cancelled(all).await;
            Ok(())
        });
        Ok(Self { queue, results })
    }

    /// Has these modules asked for soon, as far as there is room. Waits for nothing.
    pub(crate) fn warm(&self, modules: BTreeSet<Module>) {
        let until = Instant::now() + WITHIN;
        let count = modules.len();
        let taken = modules.into_iter().take(OF_ONE_APPLY);
        let queued =
            taken.filter(|module| self.queue.try_send(Asked { module: module.clone(), until }).is_ok()).count();
        if let Some(left_out) = u64::try_from(count - queued).ok().filter(|left_out| *left_out > 0) {
            tracing::warn!(left_out, "too many modules to warm");
            self.results.get_or_create(&Labels { result: "left-out" }).inc_by(left_out);
        }
    }
}

/// Asks the module proxy.
struct Asker {
    client: Client,
    url: String,
    results: Family<Labels, Counter>,
}

impl Asker {
    async fn ask(self: Arc<Self>, Asked { module, until }: Asked) {
        let until = until.min(Instant::now() + FOR_ONE);
        let result = match timeout_at(until, self.fetch(&module)).await.unwrap_or(Err(Cold::Late)) {
            Ok(()) => "warm",
            Err(why) => {
                tracing::warn!(%module, %why, "a module was not warmed");
                why.label()
            }
        };
        self.results.get_or_create(&Labels { result }).inc();
    }

    /// Reads all of the answer: the proxy may make the module while it answers.
    async fn fetch(&self, module: &Module) -> Result<(), Cold> {
        let mut answer = self
            .client
            .get(format!("{}{}", self.url, module.path()))
            .send()
            .await
            .map_err(|error| no_answer(&error))?;
        if !answer.status().is_success() {
            return Err(Cold::Status(answer.status().as_u16()));
        }
        let mut read = 0;
        while let Some(chunk) = answer.chunk().await.map_err(|error| no_answer(&error))? {
            read += chunk.len();
            if read > BODY {
                return Err(Cold::TooLong);
            }
        }
        Ok(())
    }
}

/// The base URL that a setting names: `http://`, a host, and a path or none, with `{namespace}` and `{domain}` where these
/// belong.
pub(crate) fn base_url(template: &str, namespace: &str, domain: &str) -> anyhow::Result<String> {
    let text = template.replace("{namespace}", namespace).replace("{domain}", domain);
    let invalid = || format!("invalid URL of the module proxy {template:?}; the default is {DEFAULT_URL}");
    let url = Url::parse(&text).with_context(invalid)?;
    let plain =
        url.scheme() == "http" && url.query().is_none() && url.fragment().is_none() && !text.contains(['{', '}']);
    ensure!(plain && url.username().is_empty() && url.password().is_none(), invalid());
    Ok(text.trim_end_matches('/').to_owned())
}

fn client() -> anyhow::Result<Client> {
    // It may lead from a range to a version, and nowhere else.
    let stay = Policy::custom(|attempt| {
        let first = attempt.previous().first().map(Url::origin);
        if first != Some(attempt.url().origin()) || attempt.previous().len() > REDIRECTS {
            attempt.stop()
        } else {
            attempt.follow()
        }
    });
    // There is no TLS on the way, and so nobody to trust.
    let client = Client::builder().tls_certs_only([]).no_proxy().redirect(stay).user_agent(USER_AGENT);
    client.build().context("cannot make a client for the module proxy")
}

fn no_answer(error: &reqwest::Error) -> Cold {
    Cold::NoAnswer(root_cause(error).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_follows_the_namespace() {
        let url = |template: &str| base_url(template, "modules", "cluster.local");
        assert_eq!(url(DEFAULT_URL).expect("a URL"), "http://esm-sh.modules.svc.cluster.local:8080");
        assert_eq!(url("http://127.0.0.1:1/x/").expect("a URL"), "http://127.0.0.1:1/x");
        for template in ["", "esm-sh", "https://esm.sh", "http://{name}/", "http://a/?b", "http://a:b@c", "http://"] {
            assert!(url(template).is_err(), "{template}");
        }
    }
}
