//! `wf_health_ns`: how the tentacles of an enclave are, asked side by side.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tentacular_contract::{
    Authz, EnclaveName, Needs, On, TentacleName, evaluate::may, limits::DEFAULT_DEADLINE_SECONDS,
    tentacle_url::TentacleUrl,
};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};
use tokio::time::{Instant, timeout_at};

use crate::{
    health::{Light, Verdict, judge},
    observed::Observed,
    page::{self, Cursor, Page},
    probe::Probe,
    tentacle::replicas::Replicas,
    text::Untrusted,
};

/// Engines that are asked at once.
const AT_ONCE: usize = 32;
/// How long all of them may take together: below the tool's deadline, so that those who answered are shown.
const TIME: Duration = Duration::from_secs(DEFAULT_DEADLINE_SECONDS - 10);

/// The arguments of `wf_health_ns`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// Name of the enclave. May be left out by a caller who owns or is a member of one enclave only.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the enclave in the permit")]
    enclave: Option<String>,
    /// The same as `enclave`.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the enclave in the permit")]
    namespace: Option<String>,
    /// Most tentacles to ask, from 1 to 1000; 200 when left out.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<usize>,
    /// `next_cursor` of the page before; the first page when left out.
    #[serde(default)]
    cursor: Option<String>,
}

/// The result of `wf_health_ns`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Healths {
    /// Name of the enclave.
    enclave: String,
    /// The tentacles of this page that the caller may read, in the order of their names.
    workflows: Vec<Health>,
    /// How many of this page are green, amber and red.
    summary: Summary,
    /// How many tentacles of the enclave the caller may read, on all pages.
    total: usize,
    /// Whether there are more: ask again with `next_cursor` as `cursor`.
    truncated: bool,
    /// Where the next page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// Says that texts in this result are by others.
    untrusted: Untrusted,
}

/// How a tentacle is.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Health {
    /// Name of the tentacle.
    name: String,
    /// `green`, `amber` or `red`.
    status: Light,
    /// Why it is not green.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// How many tentacles are how.
#[derive(Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Summary {
    /// They can run, and their last run went well.
    green: usize,
    /// They need a look.
    amber: usize,
    /// They cannot run.
    red: usize,
}

impl Summary {
    fn of(healths: &[Health]) -> Self {
        let count = |light| healths.iter().filter(|health| health.status == light).count();
        Self { green: count(Light::Green), amber: count(Light::Amber), red: count(Light::Red) }
    }
}

/// What the kernel and clients are told of `wf_health_ns`.
pub(crate) fn spec() -> ToolSpec {
    let authz = Authz::new(On::Enclave, Needs::Read).enclave_at(&["/enclave", "/namespace"]);
    let description = "Tells which tentacles of an enclave are green, amber or red, and why, as wf_health does for one. \
                       Their engines are asked side by side, each for at most 5 s and all of them for at most 20 s; one \
                       that was not reached in this time is amber. Only tentacles that you may read are shown.";
    ToolSpec::new("wf_health_ns", "Health of an enclave's tentacles", description, authz)
        .aliases(&["wf_health_enclave"])
        .read_only()
}

/// The tool.
#[derive(Debug)]
pub(crate) struct WfHealthNs<P> {
    pub(crate) observed: Observed,
    pub(crate) probe: P,
    pub(crate) url: TentacleUrl,
}

impl<P: Probe> WfHealthNs<P> {
    /// Answers one call.
    pub(crate) async fn call(
        self: Arc<Self>,
        permitted: Permitted,
        arguments: Arguments,
    ) -> Result<Healths, ToolError> {
        let after = arguments.cursor.as_deref().map(str::parse).transpose()?;
        let mut page = Page::<Cursor, _>::new(after, page::limit(arguments.limit)?);
        let enclave = self.observed.enclave(permitted.enclave()?).await?;
        let tentacles = self.observed.tentacles(&enclave).await?;
        let (caller, authorization) = (permitted.caller(), permitted.permit().authorization());
        let mut total = 0;
        for tentacle in tentacles {
            if may(caller, authorization, Needs::Read, &enclave, Some((&tentacle.name, &tentacle.facts))) {
                total += 1;
                let place = Cursor::at(&enclave.name, &tentacle.name);
                page.offer(place, || (tentacle.name.clone(), tentacle.replicas));
            }
        }
        let (tentacles, next_cursor) = page.end();
        let workflows = ask_all(&self.probe, &self.url, &enclave.name, tentacles).await;
        Ok(Healths {
            enclave: enclave.name.to_string(),
            summary: Summary::of(&workflows),
            workflows,
            total,
            truncated: next_cursor.is_some(),
            next_cursor,
            untrusted: Untrusted::Content,
        })
    }
}

/// The health of each, in their order.
async fn ask_all<P: Probe>(
    probe: &P,
    url: &TentacleUrl,
    enclave: &EnclaveName,
    tentacles: Vec<(TentacleName, Replicas)>,
) -> Vec<Health> {
    let until = Instant::now() + TIME;
    let ask = |(name, replicas): (TentacleName, Replicas)| async move {
        let judged = timeout_at(until, judge(probe, &url.health_url(enclave, &name), replicas)).await;
        let Verdict { status, reason, .. } = judged.unwrap_or_else(|_| {
            let reason = format!("not known: the {} s of this call were over; ask wf_health", TIME.as_secs());
            Verdict { status: Light::Amber, reason: Some(reason), detail: None }
        });
        Health { name: name.to_string(), status, reason }
    };
    stream::iter(tentacles).map(ask).buffered(AT_ONCE).collect().await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::sleep;

    use super::*;
    use crate::{probe::ProbeError, tentacle::replicas::tests::replicas};

    /// Engines that take a time to answer.
    struct Slow {
        time: Duration,
        now: AtomicUsize,
        most: AtomicUsize,
    }

    impl Probe for Slow {
        async fn ask(&self, url: &str) -> Result<Vec<u8>, ProbeError> {
            self.most.fetch_max(self.now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            sleep(self.time).await;
            self.now.fetch_sub(1, Ordering::Relaxed);
            if url.contains("t-7.") { Err(ProbeError::Status(500)) } else { Ok(b"{}".to_vec()) }
        }
    }

    async fn asked(time: Duration, count: usize) -> (Vec<Health>, Slow) {
        let slow = Slow { time, now: AtomicUsize::new(0), most: AtomicUsize::new(0) };
        let url = TentacleUrl::new("http://{tentacle}.{enclave}", "cluster.local").expect("a URL");
        let named = |index: usize| (format!("t-{index}").parse().expect("a name"), replicas(1, 1));
        let tentacles = (0..count).map(named).collect::<Vec<_>>();
        let healths = ask_all(&slow, &url, &"team-a".parse().expect("a name"), tentacles).await;
        (healths, slow)
    }

    #[tokio::test(start_paused = true)]
    async fn engines_are_asked_side_by_side_and_shown_in_order() {
        let begun = Instant::now();
        let (healths, slow) = asked(Duration::from_secs(4), 100).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(16), "four rounds");
        assert_eq!(slow.most.load(Ordering::Relaxed), AT_ONCE);
        assert!(healths.iter().enumerate().all(|(index, health)| health.name == format!("t-{index}")));
        assert_eq!(Summary::of(&healths), Summary { green: 99, amber: 0, red: 1 });
        assert_eq!(healths[7].reason.as_deref(), Some("health endpoint returned status 500"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_reached_in_time_is_amber_and_says_so() {
        let begun = Instant::now();
        let (healths, _) = asked(Duration::from_secs(9), 100).await;
        assert_eq!(begun.elapsed(), TIME);
        assert_eq!(Summary::of(&healths), Summary { green: 63, amber: 36, red: 1 });
        let reason = healths[99].reason.as_deref().expect("a reason");
        assert!(reason.starts_with("not known: the 20 s of this call were over"), "{reason}");
    }
}
