//! `wf_logs`: the newest lines that a pod, or all pods of a tentacle, wrote.

mod lines;
mod sources;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tentacular_cluster::LogQuery;
use tentacular_contract::{Authz, Needs, On, limits::LOG_BYTES};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};
use tokio::sync::Semaphore;

use self::{
    lines::{Merged, merge},
    sources::{Source, sources_of_pod, sources_of_tentacle},
};
use crate::{
    observed::Observed,
    text::{self, Untrusted},
    view::View,
};

/// Lines when the caller names no number.
const DEFAULT: u32 = 100;
/// Most lines.
const MOST: u32 = 10_000;
/// Calls that read at once; more wait, as each holds up to 20 MiB while it reads.
const AT_ONCE: usize = 4;

/// The arguments of `wf_logs`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// Enclave of the pod. May be left out by a caller who owns or is a member of one enclave only.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the enclave in the permit")]
    enclave: Option<String>,
    /// The same as `enclave`.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the enclave in the permit")]
    namespace: Option<String>,
    /// Name of the tentacle whose pods' logs are wanted. Give it, or `pod`, or both.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the tentacle in the permit")]
    name: Option<String>,
    /// Name of the pod; `wf_pods` lists them.
    #[serde(default)]
    pod: Option<String>,
    /// Name of the container; all of them, in the order of time, when left out.
    #[serde(default)]
    container: Option<String>,
    /// Most lines, all containers together: the newest, from 1 to 10000; 100 when left out.
    #[serde(default)]
    #[schemars(range(min = 1, max = 10000))]
    tail_lines: Option<u32>,
    /// Only lines of the last so many seconds; of any age when left out.
    #[serde(default)]
    #[schemars(range(min = 1))]
    since_seconds: Option<u32>,
    /// Whether to show what containers wrote before they were started again last; false when left out.
    #[serde(default)]
    previous: bool,
    /// Whether each line begins with its time; false when left out.
    #[serde(default)]
    timestamps: bool,
}

/// The result of `wf_logs`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Logs {
    /// The enclave.
    enclave: String,
    /// The pod, where all lines are from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<String>,
    /// The container, where all lines are from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<String>,
    /// The lines, the newest last. Where they are from several containers, each begins with `[pod/container]`.
    lines: Vec<String>,
    /// What was read.
    sources: Vec<Source>,
    /// Whether older lines are left out, as there is no room for them in `tail_lines` or in 1 MiB.
    truncated: bool,
    /// What could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    /// What the texts in it are.
    untrusted: Untrusted,
}

/// What the kernel and clients are told of `wf_logs`.
pub(crate) fn spec() -> ToolSpec {
    let authz = Authz::new(On::Enclave, Needs::Read).enclave_at(&["/enclave", "/namespace"]).tentacle_at(&["/name"]);
    let description = "Shows the newest lines that a pod, or all pods of a tentacle, wrote, in the order of time, at most \
                       1 MiB; with previous those of the containers that ran before. What looks like a credential is \
                       masked. It needs read on the tentacle that the pod belongs to.";
    ToolSpec::new("wf_logs", "Logs of a pod or tentacle", description, authz).read_only()
}

/// The tool.
#[derive(Debug)]
pub(crate) struct WfLogs {
    observed: Observed,
    turns: Semaphore,
}

impl WfLogs {
    pub(crate) const fn new(observed: Observed) -> Self {
        Self { observed, turns: Semaphore::const_new(AT_ONCE) }
    }

    /// Answers one call.
    pub(crate) async fn call(self: Arc<Self>, permitted: Permitted, arguments: Arguments) -> Result<Logs, ToolError> {
        let lines = lines_wanted(&arguments)?;
        let mut view = View::open(&self.observed, &permitted).await?;
        let container = arguments.container.as_deref();
        let (sources, mut warnings) = match (&arguments.pod, permitted.permit().tentacle()) {
            (Some(pod), _) => sources_of_pod(&self.observed, &mut view, pod, container).await?,
            (None, Some(_)) => sources_of_tentacle(&self.observed, &mut view, container).await?,
            (None, None) => {
                return Err(ToolError::new("give the name of a tentacle, or a pod that wf_pods lists"));
            }
        };
        let query = |container: &str| LogQuery {
            container: container.to_owned(),
            previous: arguments.previous,
            since_seconds: arguments.since_seconds,
            // One more than is shown tells whether there are more.
            lines: lines + 1,
            bytes: LOG_BYTES,
        };
        let _turn = self.turns.acquire().await?;
        let (read, refused) = sources::read(&self.observed, &view.enclave, sources, query).await?;
        warnings.extend(refused);
        let Merged { lines, sources, truncated } = merge(read, lines, arguments.timestamps);
        let single = |of: fn(&Source) -> &String| {
            let first = sources.first().map(of)?;
            sources.iter().all(|source| of(source) == first).then(|| first.clone())
        };
        Ok(Logs {
            enclave: view.enclave.name.to_string(),
            pod: single(|source| &source.pod),
            container: single(|source| &source.container),
            lines,
            truncated,
            warnings: warnings.iter().map(|warning| text::line(warning)).collect(),
            sources,
            untrusted: Untrusted::Content,
        })
    }
}

fn lines_wanted(arguments: &Arguments) -> Result<u32, ToolError> {
    if arguments.since_seconds == Some(0) {
        return Err(ToolError::new("since_seconds 0 is out of range: give 1 or more, or leave it out"));
    }
    match arguments.tail_lines.unwrap_or(DEFAULT) {
        lines @ 1..=MOST => Ok(lines),
        lines => Err(ToolError::new(format_args!("tail_lines {lines} is out of range: give 1 to {MOST}"))),
    }
}
