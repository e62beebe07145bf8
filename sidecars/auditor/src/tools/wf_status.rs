//! `wf_status`: what a tentacle consists of and whether it is ready; with `detail`, its pods and events too. It asks the
//! API server each time: whoever asks has just changed something.

mod resources;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tentacular_contract::{Authz, Needs, On};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};

use self::resources::Resource;
use crate::{
    clock::Clock,
    events::{self, Event, Happened},
    observed::Observed,
    pods::{self, Pod},
    tentacle::{
        Seen,
        replicas::{Replicas, trouble},
    },
    text::{self, Untrusted},
    view::View,
};

/// Pods that are shown: more than an enclave's largest quota has room for.
const PODS: usize = 200;
/// Events that are shown.
const EVENTS: usize = 50;

/// The arguments of `wf_status`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// Enclave of the tentacle. May be left out by a caller who owns or is a member of one enclave only.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the enclave in the permit")]
    enclave: Option<String>,
    /// The same as `enclave`.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the enclave in the permit")]
    namespace: Option<String>,
    /// Name of the tentacle.
    #[expect(dead_code, reason = "the kernel reads it and names the tentacle in the permit")]
    name: String,
    /// Whether to add pods and events; false when left out.
    #[serde(default)]
    detail: bool,
}

/// The result of `wf_status`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Status {
    /// Name of the tentacle.
    name: String,
    /// Enclave of the tentacle.
    enclave: String,
    /// Version of the workflow.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// Its objects and whether each is ready. Secrets are not among them: the auditor may not read them.
    resources: Vec<Resource>,
    /// Its pods, with `detail`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pods: Option<Vec<Pod>>,
    /// What happened lately to it and to all that belongs to it, the newest first, with `detail`.
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<Vec<Event>>,
    /// How many replicas there are to be.
    replicas: i32,
    /// How many replicas are available.
    available: i32,
    /// Whether all replicas are available and of the newest kind. A tentacle with 0 replicas is ready.
    ready: bool,
    /// Why it is not ready, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// What could not be read or is not shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    /// What the texts in it are.
    untrusted: Untrusted,
}

/// What the kernel and clients are told of `wf_status`.
pub(crate) fn spec() -> ToolSpec {
    let authz = Authz::new(On::Tentacle, Needs::Read).enclave_at(&["/enclave", "/namespace"]).tentacle_at(&["/name"]);
    let description = "Tells what a tentacle consists of, how many of its replicas are available and why it is not \
                       ready; with detail also its pods and events. A tentacle that does not exist is one without \
                       replicas, so that what is left of it can be seen.";
    ToolSpec::new("wf_status", "Status of a tentacle", description, authz).read_only()
}

/// The tool.
#[derive(Debug)]
pub(crate) struct WfStatus<C> {
    pub(crate) observed: Observed,
    pub(crate) clock: C,
}

impl<C: Clock> WfStatus<C> {
    /// Answers one call.
    pub(crate) async fn call(
        self: Arc<Self>,
        permitted: Permitted,
        arguments: Arguments,
    ) -> Result<Status, ToolError> {
        let (enclave, tentacle) = (permitted.enclave()?, permitted.tentacle()?);
        let cluster = &self.observed.cluster;
        let (deployment, resources) = tokio::join!(
            self.observed.deployment_now(enclave, tentacle),
            resources::read(cluster, enclave, tentacle),
        );
        let deployment = deployment?.filter(|deployment| Seen::of(deployment).is_some());
        let (mut resources, mut warnings) = resources;
        if let Some(deployment) = &deployment {
            resources::include(&mut resources, deployment);
        }
        let absent = || Some(format!("tentacle {enclave}/{tentacle} does not exist"));
        let mut reason = deployment.as_ref().map_or_else(absent, trouble);
        let (mut pods, mut events) = (None, None);
        if arguments.detail {
            let detail = self.detail(&permitted).await?;
            reason = reason.map(|reason| detail.because(reason));
            warnings.extend(detail.warnings);
            (pods, events) = (Some(detail.pods), Some(detail.events));
        }
        let seen = deployment.as_ref().and_then(Seen::of);
        let replicas = seen.as_ref().map(Seen::replicas);
        Ok(Status {
            name: tentacle.to_string(),
            enclave: enclave.to_string(),
            version: seen.as_ref().and_then(Seen::version),
            resources,
            pods,
            events,
            replicas: replicas.map_or(0, |replicas| replicas.desired),
            available: replicas.map_or(0, |replicas| replicas.available),
            ready: replicas.is_some_and(Replicas::is_ready),
            reason,
            warnings: warnings.iter().map(|warning| text::line(warning)).collect(),
            untrusted: Untrusted::Content,
        })
    }

    async fn detail(&self, permitted: &Permitted) -> Result<Detail, ToolError> {
        let mut view = View::open(&self.observed, permitted).await?;
        let (pods, now) = (view.pods(&self.observed).await?, self.clock.now());
        let happened = events::read(&self.observed, &mut view).await?;
        let cut = |what: &str, shown: usize, all: usize| {
            (all > shown).then(|| format!("only {shown} of {all} {what} are shown; wf_{what} shows them all"))
        };
        let warnings = cut("pods", PODS, pods.len()).into_iter().chain(cut("events", EVENTS, happened.len()));
        Ok(Detail {
            warnings: warnings.collect(),
            events: happened.iter().take(EVENTS).map(Happened::shown).collect(),
            pods: pods.into_iter().take(PODS).map(|(belongs, pod)| pods::shown(belongs, &pod, now)).collect(),
        })
    }
}

struct Detail {
    pods: Vec<Pod>,
    events: Vec<Event>,
    warnings: Vec<String>,
}

impl Detail {
    /// The reason, and the cause that a pod shows.
    fn because(&self, reason: String) -> String {
        match self.pods.iter().find_map(|pod| Some((&pod.name, pod.reason.as_ref()?))) {
            Some((pod, why)) => format!("{reason}; pod {pod}: {why}"),
            None => reason,
        }
    }
}
