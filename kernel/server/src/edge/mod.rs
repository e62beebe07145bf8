//! The protocol edge: one HTTP request in, authenticated, parsed once, then answered or forwarded.

mod answer;
pub(crate) mod forward;
pub(crate) mod headers;
mod surface;

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE},
    request::Parts,
};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde_json::value::RawValue;
pub(crate) use surface::{listed, listed_for_handshake};
use tentacular_contract::{Caller, limits};
use tentacular_process::{
    health,
    http::{BoxResponse, Handler, boxed},
    link::envelope::{Envelope, INVALID_PARAMS, Kind, METHOD_NOT_FOUND, Refused},
};
use tokio_util::sync::CancellationToken;

use self::{
    answer::Era,
    forward::{Call, Forwarder, sidecar_headers},
    surface::SurfaceService,
};
use crate::{authn::Authenticator, authz::Authorizer, sidecars::Registry};

/// The one path of MCP.
const MCP: &str = "/mcp";

/// Answers everything on the kernel's main port.
#[derive(Clone)]
pub(crate) struct Edge(Arc<Inner>);

struct Inner {
    authenticator: Authenticator,
    authorizer: Authorizer,
    registry: Registry,
    forwarder: Forwarder,
    surface: SurfaceService,
}

impl Edge {
    pub(crate) fn new(
        authenticator: Authenticator,
        authorizer: Authorizer,
        registry: Registry,
        forwarder: Forwarder,
        draining: CancellationToken,
    ) -> Self {
        let surface = surface::service(registry.clone(), draining);
        Self(Arc::new(Inner { authenticator, authorizer, registry, forwarder, surface }))
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
        if request.uri().path() == "/healthz" && request.method() == Method::GET {
            return boxed(health::alive());
        }
        let caller = match self.authenticator.authenticate(request.headers()) {
            Ok(caller) => caller,
            Err(why) => {
                tracing::info!(outcome = "unauthenticated", reason = %why, "decision");
                return answer::unauthenticated(why);
            }
        };
        if request.uri().path() != MCP {
            return answer::text(StatusCode::NOT_FOUND, "not found: MCP is served on /mcp");
        }
        if request.method() != Method::POST {
            let mut response = answer::text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed: POST one message");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return response;
        }
        match read(request).await {
            Ok((parts, body)) => self.message(&caller, parts, body).await,
            Err(response) => response,
        }
    }

    /// Answers one JSON-RPC message.
    async fn message(&self, caller: &Caller, parts: Parts, body: Bytes) -> BoxResponse {
        let envelope = match Envelope::parse(&body) {
            Ok(envelope) => envelope,
            Err(refused) => return answer::error(None, &refused, Era::Handshake),
        };
        let (Kind::Request, Some(id)) = (envelope.kind, envelope.id) else {
            // Without sessions a notification concerns nothing that is kept, and nothing here asked for a response.
            return accepted();
        };
        let era = match headers::era(&envelope, &parts.headers) {
            Ok(era) => era,
            Err(refused) => return answer::error(Some(id), &refused, Era::Handshake),
        };
        let refuse = |refused: &Refused| answer::error(Some(id), refused, era);
        let checked = |params: &[headers::ParamHeader]| headers::check(&envelope, &parts.headers, era, params);
        match envelope.method.as_str() {
            "tools/call" => match self.call(caller, &envelope, id, era, &parts, &body, checked).await {
                Ok(response) => response,
                Err(refused) => refuse(&refused),
            },
            "tools/list" if is_plain_list(&envelope, &parts, era) => match checked(&[]) {
                Ok(()) => {
                    answer::json(StatusCode::OK, self.registry.catalog().list_answer(id.get(), era == Era::Stateless))
                }
                Err(refused) => refuse(&refused),
            },
            "initialize" | "server/discover" | "ping" | "tools/list" | "subscriptions/listen" => {
                if let Err(refused) = checked(&[]) {
                    return refuse(&refused);
                }
                boxed(self.surface.handle(Request::from_parts(parts, Full::new(body))).await)
            }
            other => refuse(&Refused { code: METHOD_NOT_FOUND, message: format!("method {other:?} is not served") }),
        }
    }

    /// Authorizes and forwards one call.
    #[expect(clippy::too_many_arguments, reason = "one call as the parse left it; a struct would only rename them")]
    async fn call(
        &self,
        caller: &Caller,
        envelope: &Envelope<'_>,
        id: &RawValue,
        era: Era,
        parts: &Parts,
        body: &Bytes,
        checked: impl Fn(&[headers::ParamHeader]) -> Result<(), Refused>,
    ) -> Result<BoxResponse, Refused> {
        let invalid = |message: String| Refused { code: INVALID_PARAMS, message };
        let name = envelope.name.as_deref().ok_or_else(|| invalid("params.name must name a tool".to_owned()))?;
        let catalog = self.registry.catalog();
        let Some(tool) = catalog.find(name) else {
            return Err(invalid(format!("unknown tool {name:?}: see tools/list")));
        };
        checked(&tool.param_headers)?;
        let permit = match self.authorizer.permit(caller, tool, name, envelope).await? {
            Ok(permit) => permit,
            Err(denied) => return Ok(answer::tool_error(id, &denied, era)),
        };
        let call = Call {
            sidecar: tool.sidecar.clone(),
            client: tool.client.clone(),
            headers: sidecar_headers(&parts.headers, caller, &permit),
            body: body.clone(),
            id: id.to_owned(),
            tool: name.to_owned(),
            era,
            read_only: tool.read_only,
            deadline: Duration::from_secs(tool.authz.deadline_seconds),
        };
        Ok(self.forwarder.forward(call).await)
    }
}

/// A list request that the prepared bytes answer; whatever is unusual in one goes to rmcp, which knows the errors.
fn is_plain_list(envelope: &Envelope<'_>, parts: &Parts, era: Era) -> bool {
    let version = |known: &[&str]| {
        parts.headers.get(headers::PROTOCOL_VERSION).is_none_or(|version| known.iter().any(|known| version == known))
    };
    let plain = envelope.cursor.is_none();
    plain
        && match era {
            Era::Handshake => {
                envelope.meta.is_none() && version(&["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"])
            }
            Era::Stateless => {
                let meta = |name: &str| envelope.meta_value(&format!("io.modelcontextprotocol/{name}"));
                parts.headers.contains_key(headers::PROTOCOL_VERSION)
                    && version(&["2026-07-28"])
                    && matches!(meta("protocolVersion"), Ok(Some(version)) if version.get() == "\"2026-07-28\"")
                    && matches!(meta("clientCapabilities"), Ok(Some(capabilities)) if capabilities.get().starts_with('{'))
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
    match Limited::new(body, limits::BODY_BYTES).collect().await {
        Ok(collected) => Ok((parts, collected.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => {
            let limit = limits::BODY_BYTES / 1024 / 1024;
            Err(answer::text(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {limit} MiB")))
        }
        Err(_) => Err(answer::text(StatusCode::BAD_REQUEST, "the body ended early")),
    }
}
