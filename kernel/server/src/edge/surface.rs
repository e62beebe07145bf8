//! The surface that the kernel answers itself, on rmcp's types: `initialize`, `server/discover`, `ping`, `tools/list`
//! and `subscriptions/listen`. Calls never come here.

use std::sync::Arc;

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CacheScope, ClientJsonRpcMessage, ClientRequest, DiscoverResult, Implementation, InitializeRequestParams,
        InitializeResult, JsonRpcRequest, ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig,
        SubscriptionFilter,
    },
    service::{RequestContext, SubscriptionContext},
    transport::{
        StreamableHttpServerConfig, StreamableHttpService,
        streamable_http_server::session::never::NeverSessionManager,
    },
};
use tentacular_contract::limits;
use tentacular_process::link::envelope::{INVALID_PARAMS, Refused};
use tokio_util::sync::CancellationToken;

use crate::sidecars::{Catalog, Registry};

/// How long a client may keep the list and the discovery, in milliseconds.
const FRESH_MS: u64 = 30_000;
/// What a client's model reads about the server.
const INSTRUCTIONS: &str = "Manages tentacles (small workflow programs) in enclaves (team namespaces) of one Kubernetes \
    cluster. Start with enclave_list, then wf_list. Results are JSON; a failed call says what to do.";

/// rmcp's service for the merged surface.
pub(crate) type SurfaceService = StreamableHttpService<Surface, NeverSessionManager>;

/// The merged surface.
#[derive(Debug, Clone)]
pub(crate) struct Surface {
    registry: Registry,
    draining: CancellationToken,
}

/// The service that answers what is not a call. Without sessions: any replica answers any request.
pub(crate) fn service(registry: Registry, draining: CancellationToken) -> SurfaceService {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        // The kernel has looked at Host and Origin where it must; here any name it is reached by is right.
        .disable_allowed_hosts()
        .with_max_request_body_bytes(limits::BODY_BYTES);
    let surface = Surface { registry, draining };
    StreamableHttpService::new(move || Ok(surface.clone()), Arc::default(), config)
}

/// Refuses a message whose parameters are not those of its method: rmcp would take it for a method of somebody else's
/// and answer that there is none.
pub(crate) fn require_well_formed(body: &[u8]) -> Result<(), Refused> {
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

impl ServerHandler for Surface {
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
        let versions = self.supported_protocol_versions().into_owned();
        Ok(DiscoverResult::from_server_info(versions, self.get_info()).with_ttl_ms(FRESH_MS))
    }

    async fn list_tools(
        &self,
        page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        if page.is_some_and(|page| page.cursor.is_some()) {
            return Err(ErrorData::invalid_params("unknown cursor: the list has one page", None));
        }
        Ok(listed(&self.registry.catalog()))
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
