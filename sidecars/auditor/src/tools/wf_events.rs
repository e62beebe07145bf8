//! `wf_events`: what happened lately in an enclave or to one tentacle.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tentacular_contract::{Authz, Needs, On};
use tentacular_process::link::{Permitted, ToolError, ToolSpec};

use crate::{
    events::{self, Event},
    observed::Observed,
    page::{self, Page},
    text::Untrusted,
    view::View,
};

/// Events on a page when the caller names no number.
const DEFAULT: usize = 100;

/// The arguments of `wf_events`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// Enclave of the events. May be left out by a caller who owns or is a member of one enclave only.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the enclave in the permit")]
    enclave: Option<String>,
    /// The same as `enclave`.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the enclave in the permit")]
    namespace: Option<String>,
    /// Only what happened to this tentacle; all that the caller may read when left out.
    #[serde(default)]
    #[expect(dead_code, reason = "the kernel reads it and names the tentacle in the permit")]
    name: Option<String>,
    /// Most events to show, from 1 to 1000; 100 when left out.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<usize>,
    /// `next_cursor` of the page before, for older events; the newest when left out.
    #[serde(default)]
    cursor: Option<String>,
}

/// The result of `wf_events`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Listing {
    /// The enclave.
    enclave: String,
    /// What happened, the newest first.
    events: Vec<Event>,
    /// Whether there are older ones: ask again with `next_cursor` as `cursor`.
    truncated: bool,
    /// Where the next page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// What the texts in it are.
    untrusted: Untrusted,
}

/// What the kernel and clients are told of `wf_events`.
pub(crate) fn spec() -> ToolSpec {
    let authz = Authz::new(On::Enclave, Needs::Read).enclave_at(&["/enclave", "/namespace"]).tentacle_at(&["/name"]);
    let description = "Shows what happened lately in an enclave, or to one tentacle and all that belongs to it, the newest \
                       first; Kubernetes keeps it for an hour or so. What belongs to tentacles that you may not read is \
                       left out.";
    ToolSpec::new("wf_events", "List events", description, authz).read_only()
}

/// The tool.
#[derive(Debug)]
pub(crate) struct WfEvents {
    pub(crate) observed: Observed,
}

impl WfEvents {
    /// Answers one call.
    pub(crate) async fn call(
        self: Arc<Self>,
        permitted: Permitted,
        arguments: Arguments,
    ) -> Result<Listing, ToolError> {
        let cursor = arguments.cursor.as_deref().map(str::parse).transpose()?;
        let mut page = Page::new(cursor, page::limit(arguments.limit.or(Some(DEFAULT)))?);
        let mut view = View::open(&self.observed, &permitted).await?;
        for happened in events::read(&self.observed, &mut view).await? {
            page.offer(happened.place(), || happened.shown());
        }
        let (events, next_cursor) = page.end();
        Ok(Listing {
            enclave: view.enclave.name.to_string(),
            events,
            truncated: next_cursor.is_some(),
            next_cursor,
            untrusted: Untrusted::Content,
        })
    }
}
