//! `wf_pods`: the pods of an enclave or of one tentacle.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tentacular_contract::{Authz, Needs, On};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};

use crate::{
    clock::Clock,
    observed::Observed,
    page::{self, Page},
    pods::{Pod, shown},
    text::Untrusted,
    view::View,
};

/// The arguments of `wf_pods`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// Enclave of the pods. May be left out by a caller who owns or is a member of one enclave only.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the enclave in the permit")]
    enclave: Option<String>,
    /// The same as `enclave`.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the enclave in the permit")]
    namespace: Option<String>,
    /// Only pods of this tentacle; of all that the caller may read when left out.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the tentacle in the permit")]
    name: Option<String>,
    /// Most pods to name, from 1 to 1000; 200 when left out.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<usize>,
    /// `next_cursor` of the page before; the first page when left out.
    #[serde(default)]
    cursor: Option<String>,
}

/// The result of `wf_pods`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Listing {
    /// The enclave.
    enclave: String,
    /// The pods, in the order of their names.
    pods: Vec<Pod>,
    /// Whether there are more: ask again with `next_cursor` as `cursor`.
    truncated: bool,
    /// Where the next page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// What the texts in it are.
    untrusted: Untrusted,
}

/// What the kernel and clients are told of `wf_pods`.
pub(crate) fn spec() -> ToolSpec {
    let authz = Authz::new(On::Enclave, Needs::Read).enclave_at(&["/enclave", "/namespace"]).tentacle_at(&["/name"]);
    let description = "Lists the pods of an enclave, or of one tentacle, with their images and restarts, and why one is \
                       not ready. Pods of tentacles that you may not read are left out.";
    ToolSpec::new("wf_pods", "List pods", description, authz).read_only()
}

/// The tool.
#[derive(Debug)]
pub(crate) struct WfPods<C> {
    pub(crate) observed: Observed,
    pub(crate) clock: C,
}

impl<C: Clock> WfPods<C> {
    /// Answers one call.
    pub(crate) async fn call(
        self: Arc<Self>,
        permitted: Permitted,
        arguments: Arguments,
    ) -> Result<Listing, ToolError> {
        let mut page = Page::new(arguments.cursor, page::limit(arguments.limit)?);
        let mut view = View::open(&self.observed, &permitted).await?;
        let now = self.clock.now();
        for (belongs, pod) in view.pods(&self.observed).await? {
            page.offer(pod.metadata.name.clone().unwrap_or_default(), || shown(belongs, &pod, now));
        }
        let (pods, next_cursor) = page.end();
        Ok(Listing {
            enclave: view.enclave.name.to_string(),
            pods,
            truncated: next_cursor.is_some(),
            next_cursor,
            untrusted: Untrusted::Content,
        })
    }
}
