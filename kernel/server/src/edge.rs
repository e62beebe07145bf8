//! The protocol edge: one HTTP request in, authenticated, parsed once, then answered or forwarded.

mod answer;
mod arrival;
mod body;
mod call;
mod challenge;
mod concurrency;
mod ending;
pub(crate) mod entrance;
mod external_url;
pub(crate) mod forward;
pub(crate) mod headers;
mod message;
mod origin;
mod prepared;
mod relay;
mod requests;
mod slowdown;
mod surface;
mod version;

use std::{convert::Infallible, sync::Arc};

pub(crate) use arrival::Arrival;
use bytes::Bytes;
pub(crate) use external_url::ExternalUrl;
use http::{Request, Response, StatusCode, request::Parts};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
pub(crate) use origin::OriginArgs;
pub(crate) use prepared::Prepared;
use rmcp::model::{ErrorCode, ErrorData};
pub(crate) use surface::{listed, listed_for_handshake};
use tentacular_contract::{Caller, limits::CALLS_AT_ONCE};
use tentacular_process::{
    Context,
    http::{BoxBody, BoxResponse, Handler, boxed},
    link::envelope::{Envelope, INVALID_REQUEST, Kind, Refused},
};
pub(crate) use version::Era;

use self::{
    concurrency::Concurrency,
    entrance::Entrance,
    forward::Forwarder,
    message::Message,
    requests::{Asked, Requests},
    surface::Surface,
};
use crate::{audit::Audit, authz::Authorizer, refusal::Refusal, sidecars::Registry};

/// Answers everything on the kernel's main port.
#[derive(Clone)]
pub(crate) struct Edge(Arc<Inner>);

struct Inner {
    entrance: Entrance,
    authorizer: Authorizer,
    registry: Registry,
    forwarder: Forwarder,
    concurrency: Concurrency,
    /// Requests whose bodies are on their way.
    reading: Concurrency<body::Places>,
    /// Streams that hear of changes; they do not count among a caller's calls.
    listening: Concurrency,
    surface: Surface,
    requests: Requests,
    audit: Audit,
}

impl Edge {
    pub(crate) fn new(
        entrance: Entrance,
        authorizer: Authorizer,
        registry: Registry,
        forwarder: Forwarder,
        context: &Context,
    ) -> Self {
        Self(Arc::new(Inner {
            entrance,
            authorizer,
            forwarder,
            concurrency: Concurrency::default(),
            reading: Concurrency::of(body::ON_THEIR_WAY),
            listening: Concurrency::default(),
            surface: Surface::new(registry.clone(), context.draining.clone()),
            registry,
            requests: Requests::new(context),
            audit: Audit::new(context),
        }))
    }
}

impl Handler for Edge {
    const PUBLIC: bool = true;

    type Body = BoxBody;

    async fn handle(&self, request: Request<Incoming>) -> Result<BoxResponse, Infallible> {
        let arrival = Arrival::now();
        let mut response = self.0.answer(arrival, request).await;
        arrival.mark(&mut response);
        Ok(response)
    }
}

impl Inner {
    async fn answer(&self, arrival: Arrival, request: Request<Incoming>) -> BoxResponse {
        let caller = match self.entrance.admit(&request, arrival).await {
            Ok(caller) => caller,
            Err(response) => {
                body::drain(request).await;
                return *response;
            }
        };
        let mut asked = self.requests.begin();
        let answered = match self.read(&caller, request).await {
            Ok((parts, body)) => self.message(arrival, &caller, parts, body, &mut asked).await,
            Err(refusal) => Err(refusal),
        };
        asked.answered(answered.is_err());
        answered.unwrap_or_else(|refusal| *refusal)
    }

    /// Reads the body of a request of `caller`, unless too many of theirs are on their way.
    async fn read(&self, caller: &Caller, request: Request<Incoming>) -> Result<(Parts, Bytes), Box<BoxResponse>> {
        let Ok(reading) = self.reading.begin(caller, 0) else {
            body::drain(request).await;
            let many = format!(
                "429 Too Many Requests: the bodies of {} requests of yours are on their way, which is the limit; send the rest of \
                 one and try again",
                body::ON_THEIR_WAY
            );
            return Err(Box::new(answer::text(StatusCode::TOO_MANY_REQUESTS, many)));
        };
        body::read(request, reading.shared()).await
    }

    /// Answers one JSON-RPC message; the error is the kernel's own answer.
    async fn message(
        &self,
        arrival: Arrival,
        caller: &Caller,
        parts: Parts,
        body: Bytes,
        asked: &mut Asked,
    ) -> Result<BoxResponse, Box<BoxResponse>> {
        let no_request = |id, Refused { code, message }| {
            Err(Box::new(answer::bad_request(id, &ErrorData::new(ErrorCode(code), message, None))))
        };
        let envelope = match Envelope::parse(&body) {
            Ok(envelope) => envelope,
            Err(refused) => return no_request(Envelope::id_of(&body), refused),
        };
        asked.method(&envelope.method);
        let id = match (envelope.kind, envelope.id) {
            (Kind::Request, Some(id)) => id,
            (Kind::Response, _) => {
                let message = "nothing here asked for a response".to_owned();
                return no_request(None, Refused { code: INVALID_REQUEST, message });
            }
            // Without sessions a notification concerns nothing that is kept.
            _ => return Ok(accepted()),
        };
        let message = Message::new(envelope, id, &parts.headers, &body);
        if message.envelope.method == "tools/call" {
            let record = self.audit.begin(arrival, caller, message.envelope.name.as_deref());
            return self.call(caller, &message, record).await;
        }
        match self.surface.prepared(&message) {
            Ok(Some(prepared)) => Ok(answer::prepared(prepared)),
            Ok(None) => {
                let listening = match message.envelope.method.as_str() {
                    "subscriptions/listen" => Some(self.listening.begin(caller, 0)),
                    _ => None,
                };
                let listening = listening.transpose().map_err(|_| {
                    let many =
                        format!("{CALLS_AT_ONCE} streams of yours are listening, which is the limit; end one first");
                    let refusal = Refusal::error("too-many-listeners", INVALID_REQUEST, many);
                    Box::new(answer::refusal(message.id, &refusal, message.era))
                })?;
                let response = self.surface.handle(Request::from_parts(parts, Full::new(body))).await;
                Ok(until_sent(response, listening))
            }
            Err(refusal) => Err(Box::new(answer::refusal(message.id, &refusal, message.era))),
        }
    }
}

/// Keeps `held` until the answer has been sent, or nobody takes it any more.
fn until_sent<T: Send + 'static>(response: BoxResponse, held: T) -> BoxResponse {
    boxed(response.map(|body| {
        body.map_frame(move |frame| {
            let _ = &held;
            frame
        })
    }))
}

fn accepted() -> BoxResponse {
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = StatusCode::ACCEPTED;
    boxed(response)
}
