//! The surface that the kernel answers itself, on rmcp's types: `initialize`, `server/discover`, `ping`, `tools/list`
//! and `subscriptions/listen`. Calls never come here.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CacheScope, ClientJsonRpcMessage, ClientRequest, DiscoverResult, EmptyResult, Implementation,
        InitializeRequestParams, InitializeResult, JsonRpcRequest, ListToolsResult, PaginatedRequestParams,
        ProtocolVersion, ServerCapabilities, ServerConfig, SubscriptionFilter,
    },
    service::{RequestContext, SubscriptionContext},
    transport::{
        StreamableHttpServerConfig, StreamableHttpService,
        streamable_http_server::session::never::NeverSessionManager,
    },
};
use tentacular_contract::limits;
use tentacular_process::{
    http::{BoxResponse, boxed},
    link::envelope::{INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, Refused},
};
use tokio_util::sync::CancellationToken;

use super::{
    message::Message,
    prepared::{Prepared, PreparedAnswer},
    version::Era,
};
use crate::{
    refusal::Refusal,
    sidecars::{Catalog, Registry},
};

/// The methods that are answered here.
const METHODS: [&str; 5] = ["initialize", "server/discover", "ping", "tools/list", "subscriptions/listen"];
/// Largest request that is answered here, in bytes: none has much to say.
const REQUEST_BYTES: usize = 64 * 1024;
/// Characters of an unknown method that are told back.
const METHOD_SHOWN: usize = 128;
/// How long a client may keep the list and the discovery, in milliseconds.
const FRESH_MS: u64 = 30_000;
/// What a client's model reads about the server.
const INSTRUCTIONS: &str = "Manages tentacles (small workflow programs) in enclaves (team namespaces) of one Kubernetes \
    cluster. Start with enclave_list, then wf_list. Results are JSON; a failed call says what to do.";

/// Answers the methods of the merged surface: from prepared bytes what is asked for often and plainly, all else through
/// rmcp, which knows what is wrong with a request that is unusual.
pub(crate) struct Surface {
    registry: Registry,
    rmcp: StreamableHttpService<Merged, NeverSessionManager>,
    discovery: Prepared,
    pong: Prepared,
}

impl Surface {
    /// Without sessions: any replica answers any request.
    pub(crate) fn new(registry: Registry, draining: CancellationToken) -> Self {
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true)
            // The kernel has looked at Host and Origin where it must; here any name it is reached by is right.
            .disable_allowed_hosts()
            .with_max_request_body_bytes(limits::BODY_BYTES);
        let merged = Merged { registry: registry.clone(), draining };
        let discovery = Prepared::new(&merged.discovery());
        let pong = Prepared::new(&EmptyResult {});
        Self {
            registry,
            rmcp: StreamableHttpService::new(move || Ok(merged.clone()), Arc::default(), config),
            discovery,
            pong,
        }
    }

    /// The answer to a request; `None` where it is rmcp's to give.
    pub(crate) fn prepared(&self, message: &Message<'_>) -> Result<Option<PreparedAnswer>, Refusal> {
        let method = message.envelope.method.as_str();
        message.check_version()?;
        if !METHODS.contains(&method) {
            return Err(not_served(method));
        }
        message.check_headers(&[])?;
        if message.body.len() > REQUEST_BYTES {
            let what = format!("a request of method {method} has at most {REQUEST_BYTES} bytes");
            return Err(Refusal::error("too-large", INVALID_REQUEST, what));
        }
        let prepared = match (method, message.era) {
            _ if !message.is_plain() => None,
            ("server/discover", Era::Stateless) => Some(self.discovery.answer(message.id)),
            ("ping", Era::Handshake) => Some(self.pong.answer(message.id)),
            ("tools/list", era) => Some(self.registry.catalog().list(era).answer(message.id)),
            _ => None,
        };
        if prepared.is_none() {
            require_well_formed(message.body)?;
        }
        Ok(prepared)
    }

    /// The answer of rmcp.
    pub(crate) async fn handle(&self, request: Request<Full<Bytes>>) -> BoxResponse {
        boxed(self.rmcp.handle(request).await)
    }
}

fn not_served(method: &str) -> Refusal {
    let method: String = method.chars().take(METHOD_SHOWN).collect();
    Refusal::error("unknown-method", METHOD_NOT_FOUND, format!("method {method:?} is not served"))
}

/// Refuses a message whose parameters are not those of its method: rmcp would take it for a method of somebody else's
/// and answer that there is none.
fn require_well_formed(body: &[u8]) -> Result<(), Refused> {
    match serde_json::from_slice::<ClientJsonRpcMessage>(body) {
        Ok(ClientJsonRpcMessage::Request(JsonRpcRequest {
            request: ClientRequest::CustomRequest(request), ..
        })) => {
            let message = format!("the params of {} lack a member or have one of another type", request.method);
            Err(Refused { code: INVALID_PARAMS, message })
        }
        Ok(_) => Ok(()),
        Err(error) => Err(Refused { code: INVALID_PARAMS, message: error.to_string() }),
    }
}

/// The list of tools as a stateless client gets it.
pub(crate) fn listed(catalog: &Catalog) -> ListToolsResult {
    ListToolsResult::with_all_items(catalog.listed()).with_ttl_ms(FRESH_MS).with_cache_scope(CacheScope::Private)
}

/// The list of tools as a client with a handshake gets it, without the members it does not know.
pub(crate) fn listed_for_handshake(catalog: &Catalog) -> ListToolsResult {
    let mut list = ListToolsResult::with_all_items(catalog.listed());
    list.result_type = None;
    list
}

/// The merged surface, for rmcp.
#[derive(Debug, Clone)]
struct Merged {
    registry: Registry,
    draining: CancellationToken,
}

impl Merged {
    fn discovery(&self) -> DiscoverResult {
        let versions = self.supported_protocol_versions().into_owned();
        DiscoverResult::from_server_info(versions, self.get_info()).with_ttl_ms(FRESH_MS)
    }
}

impl ServerHandler for Merged {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().enable_tool_list_changed().build();
        let mut config = ServerConfig::new(capabilities);
        config.server_info = Implementation::new("tentacular-mcp", env!("CARGO_PKG_VERSION"));
        config.instructions = Some(INSTRUCTIONS.to_owned());
        config
    }

    async fn initialize(
        &self,
        request: InitializeRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        let mut result = self.negotiate_initialize(&request)?;
        // Without sessions there is no stream on which a client of this era could hear of a change.
        result.capabilities = ServerCapabilities::builder().enable_tools().build();
        Ok(result)
    }

    async fn discover(&self, _context: RequestContext<RoleServer>) -> Result<DiscoverResult, ErrorData> {
        Ok(self.discovery())
    }

    async fn list_tools(
        &self,
        page: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        if page.is_some_and(|page| page.cursor.is_some()) {
            return Err(ErrorData::invalid_params("unknown cursor: the list has one page", None));
        }
        let stateless = context.protocol_version() == Some(ProtocolVersion::V_2026_07_28);
        let catalog = self.registry.catalog();
        Ok(if stateless { listed(&catalog) } else { listed_for_handshake(&catalog) })
    }

    fn accepted_subscription_filter(&self, _requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(SubscriptionFilter::builder().tools_list_changed().build())
    }

    async fn listen(&self, subscription: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changes = self.registry.changes();
        loop {
            tokio::select! {
                () = subscription.cancelled() => return Ok(()),
                () = self.draining.cancelled() => return Ok(()),
                event = changes.changed() => {
                    if event.is_err() || subscription.sink().notify_tool_list_changed().await.is_err() {
                        return Ok(());
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
