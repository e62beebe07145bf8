//! The protocol edge: one HTTP request in, authenticated, parsed once, then answered or forwarded.

mod answer;
mod challenge;
mod concurrency;
pub(crate) mod entrance;
mod external_url;
pub(crate) mod forward;
pub(crate) mod headers;
mod origin;
mod relay;
mod slowdown;
mod surface;

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
pub(crate) use external_url::ExternalUrl;
use http::{HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE, request::Parts};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
pub(crate) use origin::OriginArgs;
use serde_json::value::RawValue;
pub(crate) use surface::{listed, listed_for_handshake};
use tentacular_contract::{Caller, limits};
use tentacular_process::{
    http::{BoxResponse, Handler, boxed},
    link::envelope::{Envelope, INVALID_PARAMS, INVALID_REQUEST, Kind, METHOD_NOT_FOUND, Refused},
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::{
    answer::Era,
    concurrency::Concurrency,
    entrance::Entrance,
    forward::{Call, Forwarder, sidecar_headers},
    headers::ParamHeader,
    surface::SurfaceService,
};
use crate::{authz::Authorizer, sidecars::Registry};

/// Bytes over the limit of a body that are still read before the refusal.
const LISTENED_TO: usize = 16 * 1024 * 1024;
/// The versions with a handshake whose lists are prepared as bytes.
const HANDSHAKE_VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// Answers everything on the kernel's main port.
#[derive(Clone)]
pub(crate) struct Edge(Arc<Inner>);

struct Inner {
    entrance: Entrance,
    authorizer: Authorizer,
    registry: Registry,
    forwarder: Forwarder,
    concurrency: Concurrency,
    surface: SurfaceService,
}

impl Edge {
    pub(crate) fn new(
        entrance: Entrance,
        authorizer: Authorizer,
        registry: Registry,
        forwarder: Forwarder,
        draining: CancellationToken,
    ) -> Self {
        let surface = surface::service(registry.clone(), draining);
        let concurrency = Concurrency::default();
        Self(Arc::new(Inner { entrance, authorizer, registry, forwarder, concurrency, surface }))
    }
}

impl Handler for Edge {
    type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, tentacular_process::http::BoxError>;

    async fn handle(&self, request: Request<Incoming>) -> Result<Response<Self::Body>, Infallible> {
        Ok(self.0.answer(request).await)
    }
}

impl Inner {
    async fn answer(&self, request: Request<Incoming>) -> BoxResponse {
        let (caller, request) = match self.entrance.admit(request).await {
            Ok(admitted) => admitted,
            Err(response) => return *response,
        };
        match read(request).await {
            Ok((parts, body)) => self.message(&caller, parts, body).await,
            Err(response) => response,
        }
    }

    /// Answers one JSON-RPC message.
    async fn message(&self, caller: &Caller, parts: Parts, body: Bytes) -> BoxResponse {
        let envelope = match Envelope::parse(&body) {
            Ok(envelope) => envelope,
            Err(refused) => return answer::error(Envelope::id_of(&body), &refused, Era::Handshake),
        };
        let id = match (envelope.kind, envelope.id) {
            (Kind::Request, Some(id)) => id,
            (Kind::Response, _) => {
                let message = "nothing here asked for a response".to_owned();
                return answer::error(None, &Refused { code: INVALID_REQUEST, message }, Era::Handshake);
            }
            // Without sessions a notification concerns nothing that is kept.
            _ => return accepted(),
        };
        let era = match headers::era(&envelope, &parts.headers) {
            Ok(era) => era,
            Err(refused) => return answer::error(Some(id), &refused, Era::Handshake),
        };
        let message = Message { envelope, id, era, parts: &parts, body: &body };
        match self.answer_to(caller, &message).await {
            Ok(Some(response)) => response,
            // rmcp takes the message as it came.
            Ok(None) => boxed(self.surface.handle(Request::from_parts(parts, Full::new(body))).await),
            Err(refused) => answer::error(Some(id), &refused, era),
        }
    }

    /// The answer to a request, or `None` where it is rmcp's to give.
    async fn answer_to(&self, caller: &Caller, message: &Message<'_>) -> Result<Option<BoxResponse>, Refused> {
        match message.envelope.method.as_str() {
            "tools/call" => self.call(caller, message).await.map(Some),
            "tools/list" if message.is_plain_list() => {
                message.check_headers(&[])?;
                let stateless = message.era == Era::Stateless;
                let body = self.registry.catalog().list_answer(message.id.get(), stateless);
                Ok(Some(answer::json(StatusCode::OK, body)))
            }
            "initialize" | "server/discover" | "ping" | "tools/list" | "subscriptions/listen" => {
                message.check_headers(&[])?;
                surface::require_well_formed(message.body)?;
                Ok(None)
            }
            other => Err(Refused { code: METHOD_NOT_FOUND, message: format!("method {other:?} is not served") }),
        }
    }

    /// Authorizes and forwards one call.
    async fn call(&self, caller: &Caller, message: &Message<'_>) -> Result<BoxResponse, Refused> {
        let invalid = |message: String| Refused { code: INVALID_PARAMS, message };
        let name = message.envelope.name.as_deref();
        let name = name.ok_or_else(|| invalid("params.name must name a tool".to_owned()))?;
        let catalog = self.registry.catalog();
        let Some(tool) = catalog.find(name) else {
            return Err(invalid(format!("unknown tool {name:?}: see tools/list")));
        };
        if message.envelope.arguments.is_some_and(|arguments| !arguments.get().starts_with('{')) {
            return Err(invalid("params.arguments must be an object".to_owned()));
        }
        message.check_headers(&tool.param_headers)?;
        let tool_error = |sentence: &str| Ok(answer::tool_error(message.id, sentence, message.era));
        let permit = match self.authorizer.permit(caller, tool, name, &message.envelope).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(denied)) => return tool_error(&denied),
            // A wrong argument is for the caller's model to mend, which reads tool errors alone.
            Err(refused) if refused.code == INVALID_PARAMS => return tool_error(&refused.message),
            Err(refused) => return Err(refused),
        };
        let running = match self.concurrency.begin(caller) {
            Ok(running) => running,
            Err(too_many) => return tool_error(&too_many.to_string()),
        };
        let call = Call {
            sidecar: tool.sidecar.clone(),
            client: tool.client.clone(),
            headers: sidecar_headers(&message.parts.headers, caller, &permit),
            body: message.body.clone(),
            id: message.id.to_owned(),
            tool: name.to_owned(),
            era: message.era,
            read_only: tool.read_only,
            deadline: Duration::from_secs(tool.authz.deadline_seconds),
        };
        Ok(self.forwarder.forward(call, running).await)
    }
}

/// A request as the edge has read it.
struct Message<'a> {
    envelope: Envelope<'a>,
    id: &'a RawValue,
    era: Era,
    parts: &'a Parts,
    body: &'a Bytes,
}

impl Message<'_> {
    fn check_headers(&self, params: &[ParamHeader]) -> Result<(), Refused> {
        headers::check(&self.envelope, &self.parts.headers, self.era, params)
    }

    /// Whether it is a list request that the prepared bytes answer; whatever is unusual in one goes to rmcp, which
    /// knows the errors.
    fn is_plain_list(&self) -> bool {
        let version = |known: &[&str]| {
            let version = self.parts.headers.get(headers::PROTOCOL_VERSION);
            version.is_none_or(|version| known.iter().any(|known| version == known))
        };
        let meta = |name: &str| self.envelope.meta_value(&format!("io.modelcontextprotocol/{name}")).ok().flatten();
        self.envelope.cursor.is_none()
            && match self.era {
                Era::Handshake => self.envelope.meta.is_none() && version(&HANDSHAKE_VERSIONS),
                Era::Stateless => {
                    self.parts.headers.contains_key(headers::PROTOCOL_VERSION)
                        && version(&["2026-07-28"])
                        && meta("protocolVersion").is_some_and(|version| version.get() == "\"2026-07-28\"")
                        && meta("clientCapabilities").is_some_and(|object| object.get().starts_with('{'))
                }
            }
    }
}

fn accepted() -> BoxResponse {
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = StatusCode::ACCEPTED;
    boxed(response)
}

/// Reads the body up to the limit.
async fn read(request: Request<Incoming>) -> Result<(Parts, Bytes), BoxResponse> {
    let (parts, body) = request.into_parts();
    let is_json = |kind: &HeaderValue| {
        let essence = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
        essence.trim().eq_ignore_ascii_case("application/json")
    };
    if !parts.headers.get(CONTENT_TYPE).is_some_and(is_json) {
        return Err(answer::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type must be application/json"));
    }
    let Ok(collected) = timeout(limits::BODY_TIME, collect(body)).await else {
        let limit = limits::BODY_TIME.as_secs();
        return Err(answer::text(StatusCode::REQUEST_TIMEOUT, format!("the body did not come within {limit} s")));
    };
    match collected {
        Ok(Some(bytes)) => Ok((parts, bytes)),
        Ok(None) => {
            let limit = limits::BODY_BYTES / 1024 / 1024;
            Err(answer::text(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {limit} MiB")))
        }
        Err(_) => Err(answer::text(StatusCode::BAD_REQUEST, "the body ended early")),
    }
}

/// The whole body, or `None` when it is over the limit. What is over it is read and dropped, up to a point: whoever is
/// still sending does not hear an answer.
async fn collect(mut body: Incoming) -> Result<Option<Bytes>, hyper::Error> {
    let mut bytes = BytesMut::new();
    let mut size = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        size += data.len();
        if size <= limits::BODY_BYTES {
            bytes.extend_from_slice(&data);
        } else if size > limits::BODY_BYTES + LISTENED_TO {
            break;
        }
    }
    Ok((size <= limits::BODY_BYTES).then(|| bytes.freeze()))
}
