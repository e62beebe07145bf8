//! Forwards one call to a sidecar as bytes, and the answer back as bytes.
//!
//! The exchange runs apart from the client's connection. A call that may be cancelled ends with that connection; any
//! other is read to its end, whether somebody still listens or not.

use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode,
    header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HOST},
};
use http_body_util::{Full, StreamBody};
use hyper::body::Incoming;
use serde_json::value::RawValue;
use tentacular_contract::{Caller, Permit, keys, limits::SIDECAR_PATIENCE};
use tentacular_process::{
    http::{BoxResponse, boxed},
    link::client::{LinkClient, LinkError},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout_at},
};
use tokio_util::task::TaskTracker;

use super::{
    answer::{self, Era},
    concurrency::Running,
    relay::{Answer, relay},
};

/// Request headers that a sidecar sees, beside the kernel's two and `Mcp-Param-*`.
const FORWARDED: [&str; 6] =
    ["content-type", "accept", "mcp-protocol-version", "mcp-method", "mcp-name", "traceparent"];
/// Between two attempts to connect to a sidecar that is being restarted.
const RECONNECT: Duration = Duration::from_millis(25);
/// How often a call may break its connection: one that crashes its sidecar must not do so again and again.
const BROKEN_AT_MOST: u32 = 3;
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
    pub(crate) sidecar: String,
    pub(crate) client: LinkClient,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) id: Box<RawValue>,
    pub(crate) tool: String,
    pub(crate) era: Era,
    /// The tool changes nothing: it may be sent again, and in the stateless era it ends with its connection.
    pub(crate) read_only: bool,
    pub(crate) deadline: Duration,
}

impl Call {
    const fn ends_with_its_caller(&self) -> bool {
        self.read_only && matches!(self.era, Era::Stateless)
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = http::Method::POST;
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// The headers of a forwarded request: the allow-list of the client's, and the two that only the kernel writes.
pub(crate) fn sidecar_headers(client: &HeaderMap, caller: &Caller, permit: &Permit) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in client {
        if FORWARDED.contains(&name.as_str()) || name.as_str().starts_with("mcp-param-") {
            headers.append(name, value.clone());
        }
    }
    headers.insert(HOST, HeaderValue::from_static("localhost"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.entry(ACCEPT).or_insert(HeaderValue::from_static("application/json, text/event-stream"));
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

    /// Sends one call and answers with what the sidecar answers. `running` counts it for its caller until it ends,
    /// which may be after the caller left.
    pub(crate) async fn forward(&self, call: Call, running: Running) -> BoxResponse {
        let (head, first) = oneshot::channel();
        self.running.spawn(async move {
            exchange(call, head).await;
            drop(running);
        });
        match first.await {
            Ok(Head::Own(response)) => response,
            Ok(Head::Sidecar(response)) => boxed(response.map(|answer| {
                StreamBody::new(stream::unfold(Some(answer), |answer| async { answer?.next().await }))
            })),
            Err(_) => answer::text(StatusCode::INTERNAL_SERVER_ERROR, "internal error"),
        }
    }
}

async fn exchange(call: Call, mut head: oneshot::Sender<Head>) {
    let until = Instant::now() + call.deadline;
    let answered = tokio::select! {
        answered = timeout_at(until, send(&call)) => answered,
        () = head.closed(), if call.ends_with_its_caller() => return,
    };
    let own = |sentence: &str| Head::Own(answer::tool_error(&call.id, sentence, call.era));
    let response = match answered {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            tracing::warn!(sidecar = call.sidecar, tool = call.tool, %error, "a call got no answer");
            let _ = head.send(own(&away(&call, &error)));
            return;
        }
        Err(_) => {
            let _ = head.send(own(&too_late(&call)));
            return;
        }
    };
    let (parts, body) = response.into_parts();
    if !ANSWERS.contains(&parts.status) {
        tracing::warn!(sidecar = call.sidecar, tool = call.tool, status = %parts.status, "no answer to a call");
        let sentence =
            format!("the {} answered with HTTP {}, which is no answer to a call", call.sidecar, parts.status);
        let _ = head.send(own(&sentence));
        return;
    }
    let (data, receiver) = mpsc::channel(16);
    let (end, ended) = oneshot::channel();
    let mut outward = Response::new(Answer { data: receiver, end: ended });
    *outward.status_mut() = parts.status;
    for name in [CONTENT_TYPE, CACHE_CONTROL, HeaderName::from_static("x-accel-buffering")] {
        if let Some(value) = parts.headers.get(&name) {
            outward.headers_mut().insert(name, value.clone());
        }
    }
    let streams =
        parts.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    let _ = head.send(Head::Sidecar(outward));
    let relayed = relay(body, &data, until, call.ends_with_its_caller()).await;
    let _ = end.send(relayed.end(&call, streams));
}

/// Sends the request, waiting a moment for a sidecar that is being restarted. What was begun is sent again only when
/// the tool changes nothing.
async fn send(call: &Call) -> Result<Response<Incoming>, LinkError> {
    let patience = Instant::now() + SIDECAR_PATIENCE;
    let mut broken = 0;
    loop {
        let error = match call.client.send(call.request()).await {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        let again = match error {
            LinkError::NotConnected { .. } => true,
            LinkError::Broken { .. } => {
                broken += 1;
                call.read_only && broken < BROKEN_AT_MOST
            }
        };
        if !again || Instant::now() >= patience {
            return Err(error);
        }
        sleep(RECONNECT).await;
    }
}

fn away(call: &Call, error: &LinkError) -> String {
    match error {
        LinkError::NotConnected { .. } => format!(
            "the {} is not available right now, {} was not started; try again in a moment",
            call.sidecar, call.tool
        ),
        LinkError::Broken { .. } => interrupted(call),
    }
}

pub(super) fn interrupted(call: &Call) -> String {
    let check = if call.read_only { "try again" } else { "it may have had effect: look before you repeat it" };
    format!("the {} ended while {} ran; {check}", call.sidecar, call.tool)
}

pub(super) fn too_late(call: &Call) -> String {
    let check = if call.read_only { "try again" } else { "it may still have effect: look before you repeat it" };
    format!("{} took longer than its {} s; {check}", call.tool, call.deadline.as_secs())
}
