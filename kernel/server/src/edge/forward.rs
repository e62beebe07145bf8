//! Forwards one call to a sidecar as bytes, and the answer back as bytes.
//!
//! The exchange runs apart from the client's connection. A call that may be cancelled ends with that connection; any
//! other is read to its end, whether somebody still listens or not.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::stream;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode,
    header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HOST},
    response::Parts,
};
use http_body_util::{Full, StreamBody};
use hyper::body::Incoming;
use tentacular_contract::{Caller, Permit, keys, limits::SIDECAR_PATIENCE};
use tentacular_process::{
    http::{BoxResponse, boxed},
    link::client::{LinkError, Place},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout_at},
};
use tokio_util::task::TaskTracker;

use super::{
    answer,
    concurrency::Running,
    ending::Ending,
    headers::ParamHeader,
    relay::{Answer, End, relay},
    until_sent,
    version::Era,
};
use crate::{audit::Record, sidecars::Tool};

/// Request headers that a sidecar sees, beside the kernel's two and the `Mcp-Param-*` that its tool declares.
const FORWARDED: [HeaderName; 6] = [
    CONTENT_TYPE,
    ACCEPT,
    HeaderName::from_static("mcp-protocol-version"),
    HeaderName::from_static("mcp-method"),
    HeaderName::from_static("mcp-name"),
    HeaderName::from_static("traceparent"),
];
/// Headers of its answer that the client sees.
const ANSWERED: [HeaderName; 3] = [CONTENT_TYPE, CACHE_CONTROL, HeaderName::from_static("x-accel-buffering")];
/// Between two attempts to connect to a sidecar that is being restarted.
const RECONNECT: Duration = Duration::from_millis(25);
/// How often a call may break its connection: one that crashes its sidecar must not do so again and again.
const BROKEN_AT_MOST: u32 = 3;
/// Pieces of an answer, of up to 64 KiB, that wait for a caller who reads slowly: he may have 64 such calls.
const WAITING: usize = 4;
/// The statuses with which a sidecar answers a call; what else it says is not the client's to act on.
const ANSWERS: [StatusCode; 6] = [
    StatusCode::OK,
    StatusCode::BAD_REQUEST,
    StatusCode::NOT_FOUND,
    StatusCode::NOT_ACCEPTABLE,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
];

/// A call that was permitted, ready to be sent.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) tool: Arc<Tool>,
    /// The tool as the body spells it.
    pub(crate) name: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) id: String,
    pub(crate) era: Era,
}

impl Call {
    /// A read of a stateless client, for which a lost connection can only mean that nobody waits any more.
    pub(super) fn ends_with_its_caller(&self) -> bool {
        self.tool.read_only && self.era == Era::Stateless
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = http::Method::POST;
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// The headers of a forwarded request: the allow-list of the client's, and the two that only the kernel writes. Of
/// `Mcp-Param-*` the sidecar gets what was compared with the body, nothing else.
pub(crate) fn sidecar_headers(
    client: &HeaderMap,
    params: &[ParamHeader],
    caller: &Caller,
    permit: &Permit,
) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in FORWARDED.iter().chain(params.iter().map(ParamHeader::name)) {
        for value in client.get_all(name) {
            headers.append(name, value.clone());
        }
    }
    headers.insert(HOST, HeaderValue::from_static("localhost"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in [(keys::CALLER_HEADER, caller.to_header()), (keys::PERMIT_HEADER, permit.to_header())] {
        // base64url is always a header value.
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    headers
}

/// What the exchange gives to the waiting connection first.
enum Head {
    /// The kernel answers by itself.
    Own(BoxResponse),
    /// The sidecar's head, and its body.
    Sidecar(Response<Answer>),
}

/// Sends calls, and knows which of them still run.
#[derive(Debug, Clone)]
pub(crate) struct Forwarder {
    running: TaskTracker,
}

impl Forwarder {
    pub(crate) fn new() -> Self {
        Self { running: TaskTracker::new() }
    }

    /// Waits until every call has ended.
    pub(crate) async fn finished(&self) {
        self.running.close();
        self.running.wait().await;
    }

    /// Sends one call and answers with what the sidecar answers. `record` waits to be logged until it ends, which may be after
    /// the caller left, and `running` counts it for the caller until the answer has been sent too: what nobody takes is kept
    /// as long as its connection.
    pub(crate) async fn forward(&self, call: Call, mut record: Record, running: Running) -> BoxResponse {
        let (head, first) = oneshot::channel();
        record.forwarded();
        let running = Arc::new(running);
        let unsent = Arc::clone(&running);
        self.running.spawn(async move {
            let ending = exchange(&call, head).await;
            record.ended(ending.label());
            drop(running);
        });
        let response = match first.await {
            Ok(Head::Own(response)) => response,
            Ok(Head::Sidecar(response)) => boxed(response.map(|answer| {
                StreamBody::new(stream::unfold(Some(answer), |answer| async { answer?.next().await }))
            })),
            Err(_) => answer::text(StatusCode::INTERNAL_SERVER_ERROR, "internal error"),
        };
        until_sent(response, unsent)
    }
}

async fn exchange(call: &Call, mut head: oneshot::Sender<Head>) -> Ending {
    let begun = tokio::select! {
        begun = begin(call) => begun,
        () = head.closed(), if call.ends_with_its_caller() => return Ending::Cancelled,
    };
    let Begun { _place, until, response } = match begun {
        Ok(begun) => begun,
        Err(ending) => {
            let _ = head.send(Head::Own(answer::tool_error(&call.id, &ending.sentence(call), call.era)));
            return ending;
        }
    };
    let (parts, body) = response.into_parts();
    let streams =
        parts.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    let (data, receiver) = mpsc::channel(WAITING);
    let (end, ended) = oneshot::channel();
    let _ = head.send(Head::Sidecar(outward(&parts, Answer { data: receiver, end: ended })));
    let ending = relay(body, &data, until, call).await;
    let _ = end.send(End::of(ending, call, streams));
    ending
}

fn outward(parts: &Parts, answer: Answer) -> Response<Answer> {
    let mut response = Response::new(answer);
    *response.status_mut() = parts.status;
    for name in ANSWERED {
        if let Some(value) = parts.headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

/// A call that a sidecar has begun to answer.
struct Begun {
    /// Held to the end of the answer.
    _place: Place,
    until: Instant,
    response: Response<Incoming>,
}

/// Sends the call when the sidecar has a place for it. Its deadline counts from then.
async fn begin(call: &Call) -> Result<Begun, Ending> {
    let failed = |error: &LinkError| {
        tracing::warn!(sidecar = call.tool.sidecar, tool = call.tool.name, %error, "a call got no answer");
        Ending::from(error)
    };
    let place = call.tool.client.place().await.map_err(|error| failed(&error))?;
    let until = Instant::now() + Duration::from_secs(call.tool.authz.deadline_seconds);
    let response = timeout_at(until, send(call)).await.map_err(|_| Ending::TooLate)?;
    let response = response.map_err(|error| failed(&error))?;
    let status = response.status();
    if !ANSWERS.contains(&status) {
        tracing::warn!(sidecar = call.tool.sidecar, tool = call.tool.name, %status, "no answer to a call");
        return Err(Ending::NoAnswer(status));
    }
    Ok(Begun { _place: place, until, response })
}

/// Sends the request, waiting a moment for a sidecar that is being restarted. What was begun is sent again only when
/// the tool changes nothing.
async fn send(call: &Call) -> Result<Response<Incoming>, LinkError> {
    let patience = Instant::now() + SIDECAR_PATIENCE;
    let mut broken = 0;
    loop {
        let error = match call.tool.client.send(call.request()).await {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        if let LinkError::Broken { .. } = error {
            broken += 1;
        }
        let again = broken == 0 || (call.tool.read_only && broken < BROKEN_AT_MOST);
        if !again || Instant::now() >= patience {
            return Err(error);
        }
        sleep(RECONNECT).await;
    }
}

#[cfg(test)]
mod tests;
