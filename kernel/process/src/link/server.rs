//! The sidecar's end of the link: an MCP server on a Unix socket whose tools cannot be reached without a permit.

use std::{collections::HashMap, convert::Infallible, future::Future, path::PathBuf, pin::Pin, sync::Arc};

use ::http::{Request, request::Parts};
use clap::Args;
use hyper::body::Incoming;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, DiscoverResult, Implementation,
        JsonObject, ListToolsResult, MetaObject, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
    },
    service::RequestContext,
    transport::{
        StreamableHttpServerConfig, StreamableHttpService,
        streamable_http_server::session::never::NeverSessionManager,
    },
};
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tentacular_contract::{Caller, Permit, keys, limits, text};
use tokio::time::Instant;

use super::{Permitted, ToolError, ToolSpec, peer, socket::SocketListener};
use crate::{
    Context,
    http::{self, BoxBody, BoxResponse, Ending, Handler, boxed},
};

/// Where a sidecar listens, and to whom.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Link to the kernel")]
pub struct LinkArgs {
    /// Folder of the sockets.
    #[arg(long, env = "TENTACULAR_RUN_DIR", default_value = "/run/tentacular")]
    pub run_dir: PathBuf,
    /// Uid of the kernel, the only one that is served [default: the own uid].
    #[arg(long, env = "TENTACULAR_KERNEL_UID")]
    pub kernel_uid: Option<u32>,
}

type Answer = Pin<Box<dyn Future<Output = Result<Value, ToolError>> + Send>>;
type Run = Box<dyn Fn(Permitted, JsonObject) -> Answer + Send + Sync>;

struct Registered {
    spec: ToolSpec,
    listed: Tool,
    run: Run,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    tool: &'static str,
    outcome: &'static str,
}

/// A sidecar: a named set of tools.
pub struct Sidecar {
    name: &'static str,
    tools: Vec<Registered>,
    by_name: HashMap<&'static str, usize>,
    calls: Family<CallLabels, Counter>,
    seconds: Family<CallLabels, Histogram>,
}

impl Sidecar {
    /// A sidecar without tools. Its name is its socket's.
    pub fn new(name: &'static str) -> Self {
        let buckets = || Histogram::new([0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 600.0]);
        Self {
            name,
            tools: Vec::new(),
            by_name: HashMap::new(),
            calls: Family::default(),
            seconds: Family::new_with_constructor(buckets),
        }
    }

    /// Adds a tool. Its handler gets the permitted call and the arguments, and answers with a JSON object.
    #[must_use]
    pub fn tool<A, O, H, F>(mut self, spec: ToolSpec, handler: H) -> Self
    where
        A: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + 'static,
        H: Fn(Permitted, A) -> F + Send + Sync + 'static,
        F: Future<Output = Result<O, ToolError>> + Send + 'static,
    {
        for name in spec.names() {
            self.by_name.insert(name, self.tools.len());
        }
        let run: Run = Box::new(move |permitted, arguments| match parse::<A>(arguments) {
            Ok(arguments) => {
                let answer = handler(permitted, arguments);
                Box::pin(async move { Ok(serde_json::to_value(answer.await?)?) })
            }
            Err(error) => Box::pin(std::future::ready(Err(error))),
        });
        let listed = spec.listed::<A, O>();
        self.tools.push(Registered { spec, listed, run });
        self
    }

    /// Serves on the socket until the process drains.
    pub async fn serve(self, link: LinkArgs, context: &Context) -> anyhow::Result<()> {
        let LinkArgs { run_dir, kernel_uid } = link;
        let listener = SocketListener::bind(&run_dir, self.name, kernel_uid.unwrap_or_else(peer::own_uid))?;
        context.metrics.register(|registry| {
            registry.register("tool_calls", "Calls by `tool` and `outcome`: `ok` or `error`", self.calls.clone());
            let help = "Seconds that a call took, by `tool` and `outcome`";
            registry.register("tool_duration_seconds", help, self.seconds.clone());
        });
        tracing::info!(sidecar = self.name, run_dir = %run_dir.display(), "listening");
        let endpoint = Endpoint::new(Arc::new(self));
        http::serve(listener, endpoint, Ending::at(&context.draining, context.drain_time)).await;
        Ok(())
    }

    fn find(&self, name: &str) -> Option<&Registered> {
        self.by_name.get(name).map(|index| &self.tools[*index])
    }

    fn observe(&self, tool: &'static str, outcome: &'static str, since: Instant) {
        let labels = CallLabels { tool, outcome };
        self.calls.get_or_create(&labels).inc();
        self.seconds.get_or_create(&labels).observe(since.elapsed().as_secs_f64());
    }

    fn config(&self) -> ServerConfig {
        let mut meta = MetaObject::default();
        meta.insert(keys::CONTRACT_META.to_owned(), Value::from(keys::CONTRACT_VERSION));
        let mut config = ServerConfig::new(ServerCapabilities::builder().enable_tools().build());
        config.server_info = Implementation::new(format!("tentacular-{}", self.name), env!("CARGO_PKG_VERSION"));
        config.meta = Some(meta);
        config
    }
}

/// Characters that are told of an argument that cannot be read.
const ARGUMENT_ERROR: usize = 300;

fn parse<A: DeserializeOwned>(arguments: JsonObject) -> Result<A, ToolError> {
    serde_path_to_error::deserialize(Value::Object(arguments)).map_err(|error| {
        let path = error.path().to_string();
        let place = if path == "." { String::new() } else { format!("{path}: ") };
        let text = unquoted(error.into_inner().to_string());
        let short: String = text.chars().take(ARGUMENT_ERROR).collect();
        let cut = if short.len() < text.len() { "…" } else { "" };
        ToolError::new(format_args!("invalid arguments: {place}{short}{cut}"))
    })
}

/// Without the text that stands where something else was expected: it may be all of an argument, and a Secret.
fn unquoted(message: String) -> String {
    const KIND: &str = "string";
    match (message.find("string \""), message.rfind("\", expected ")) {
        (Some(begin), Some(end)) if begin + KIND.len() < end => {
            format!("{}{}", &message[..begin + KIND.len()], &message[end + 1..])
        }
        _ => message,
    }
}

/// Serves rmcp's Streamable HTTP service without sessions.
#[derive(Clone)]
struct Endpoint(StreamableHttpService<Surface, NeverSessionManager>);

impl Endpoint {
    fn new(sidecar: Arc<Sidecar>) -> Self {
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true)
            .with_max_request_body_bytes(limits::BODY_BYTES);
        let surface = move || Ok(Surface(Arc::clone(&sidecar)));
        Self(StreamableHttpService::new(surface, Arc::default(), config))
    }
}

impl Handler for Endpoint {
    type Body = BoxBody;

    async fn handle(&self, request: Request<Incoming>) -> Result<BoxResponse, Infallible> {
        Ok(boxed(self.0.handle(request).await))
    }
}

/// The MCP face of a sidecar.
struct Surface(Arc<Sidecar>);

impl ServerHandler for Surface {
    fn get_info(&self) -> ServerConfig {
        self.0.config()
    }

    async fn discover(&self, _context: RequestContext<RoleServer>) -> Result<DiscoverResult, ErrorData> {
        let versions = self.supported_protocol_versions().into_owned();
        Ok(DiscoverResult::from_server_info(versions, self.0.config()))
    }

    async fn list_tools(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = self.0.tools.iter().map(|tool| tool.listed.clone()).collect();
        Ok(ListToolsResult::with_all_items(tools))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.0.find(name).map(|tool| tool.listed.clone())
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let CallToolRequestParams { name, arguments, .. } = request;
        let (caller, permit) = credentials(&context, &name)?;
        let Some(tool) = self.0.find(&name) else {
            return Err(ErrorData::invalid_params(format!("unknown tool {name:?}"), None));
        };
        let progress = context.meta.get_progress_token().map(|token| (context.peer.clone(), token));
        let since = Instant::now();
        let answer =
            (tool.run)(Permitted::new(caller, permit, tool.spec.frozen(), progress), arguments.unwrap_or_default());
        let answered = if tool.spec.is_read_only() {
            tokio::select! {
                answered = spawned(answer, true) => answered,
                () = context.ct.cancelled() => Err(ToolError::new("cancelled: the caller left")),
            }
        } else {
            spawned(answer, false).await
        };
        let outcome = if answered.is_ok() { "ok" } else { "error" };
        self.0.observe(tool.spec.name(), outcome, since);
        let result = match answered {
            Ok(value) => CallToolResult::structured(value),
            Err(error) => {
                tracing::info!(tool = tool.spec.name(), %error, "a tool answered with an error");
                // It may quote whatever the caller, a tentacle or the cluster said.
                CallToolResult::error(vec![ContentBlock::text(text::block(&error.to_string()))])
            }
        };
        Ok(result.into())
    }
}

/// Runs a handler apart from the connection, so that a caller who leaves does not stop a write half way and a panic
/// ends this call alone.
async fn spawned(answer: Answer, cancellable: bool) -> Result<Value, ToolError> {
    /// Ends the task with the call.
    struct AbortOnDrop(tokio::task::AbortHandle);
    impl Drop for AbortOnDrop {
        fn drop(&mut self) {
            self.0.abort();
        }
    }
    let task = tokio::spawn(answer);
    let _guard = cancellable.then(|| AbortOnDrop(task.abort_handle()));
    task.await.unwrap_or_else(|panic| {
        tracing::error!(%panic, "a handler ended in a panic");
        Err(ToolError::new("internal error: the call ended unexpectedly; see the server's log"))
    })
}

/// Reads what the kernel decided, and that it decided on this tool.
fn credentials(context: &RequestContext<RoleServer>, name: &str) -> Result<(Caller, Permit), ErrorData> {
    let refuse = |text: String| ErrorData::invalid_request(text, None);
    let parts = context.extensions.get::<Parts>().ok_or_else(|| refuse("no HTTP request".to_owned()))?;
    let header = |key: &str| {
        let mut values = parts.headers.get_all(key).iter();
        match (values.next().and_then(|value| value.to_str().ok()), values.next()) {
            (Some(value), None) => Ok(value),
            _ => Err(refuse(format!("header {key} must be there once: tools are called through the kernel"))),
        }
    };
    let caller = Caller::from_header(header(keys::CALLER_HEADER)?);
    let permit = Permit::from_header(header(keys::PERMIT_HEADER)?);
    let caller = caller.map_err(|error| refuse(error.to_string()))?;
    let permit = permit.map_err(|error| refuse(error.to_string()))?;
    if permit.tool() != name {
        return Err(refuse(format!("the permit is for tool {:?}, not for {name:?}", permit.tool())));
    }
    Ok((caller, permit))
}
