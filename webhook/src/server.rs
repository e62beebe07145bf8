//! What the API server talks to: a POST to [`PATH`].

use std::{convert::Infallible, net::IpAddr, time::Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Frame, Incoming};
use serde_json::json;
use tentacular_contract::limits::{REVIEW_BODY_BYTES, REVIEW_TIME};
use tentacular_process::{
    http::{Handler, Peer},
    json::extent,
};
use tokio::time::timeout;

use crate::{
    decisions::Decisions,
    review::{Malformed, Reviewer},
    room::{self, Room},
};

/// The only path.
const PATH: &str = "/review";
/// Values in one review, of the object before and after it together; an object of a tentacle has some hundreds. In
/// memory, with what is found wrong with it, a value may take 2.6 KB where its text has two bytes: this many are 26 MB.
const VALUES: usize = 10_000;

/// Answers the requests of the API server.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    reviewer: Reviewer,
    decisions: Decisions,
    /// For the bodies of reviews, from before they are read.
    bytes: Room,
    /// For what is parsed of them.
    values: Room,
}

/// Why a review gets no answer. The text is for whoever writes the object.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error(
        "the review of this write is larger than the limit of {REVIEW_BODY_BYTES} bytes: make the object smaller"
    )]
    Large,
    #[error(
        "the review of this write holds more than {VALUES} values, those of the object before it and of its managed \
         fields included: make the object smaller, or several of it"
    )]
    Many,
    #[error(transparent)]
    Full(#[from] room::Full),
    #[error("the body ended early")]
    Cut,
    #[error("the body took too long")]
    Late,
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl Unanswered {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Large | Self::Many => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Full(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Cut | Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Late => StatusCode::REQUEST_TIMEOUT,
        }
    }
}

impl Handler for Admission {
    type Body = Full<Bytes>;

    async fn handle(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let response = match (request.uri().path(), request.method()) {
            (PATH, &Method::POST) => {
                let arrived = Instant::now();
                let address = request.extensions().get().map(|&Peer(address)| address);
                let answer = self.admit(address, request.into_body()).await;
                self.decisions.took(arrived.elapsed());
                match answer {
                    Ok(review) => respond(StatusCode::OK, "application/json", review),
                    Err(error) => {
                        tracing::warn!(%error, "no answer to a review");
                        failure(error.status(), &error.to_string())
                    }
                }
            }
            (PATH, _) => {
                let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "POST only");
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
                response
            }
            _ => text(StatusCode::NOT_FOUND, format!("POST to {PATH} is all there is")),
        };
        Ok(response)
    }
}

impl Admission {
    pub(crate) fn new(reviewer: Reviewer, decisions: Decisions) -> Self {
        Self { reviewer, decisions, bytes: Room::new(REVIEW_BODY_BYTES), values: Room::new(VALUES) }
    }

    /// The answer to the review in `body`, which came from `address`.
    async fn admit(&self, address: Option<IpAddr>, body: Incoming) -> Result<Vec<u8>, Unanswered> {
        // Who does not say how long it is may send the longest.
        let length = body.size_hint().upper().and_then(|length| usize::try_from(length).ok()).unwrap_or(usize::MAX);
        let _bytes = self.bytes.take(address, length).await?;
        let body = timeout(REVIEW_TIME, read(body, length)).await.map_err(|_| Unanswered::Late)??;
        let values = extent(&body).values;
        if values > VALUES {
            return Err(Unanswered::Many);
        }
        let _values = self.values.take(address, values).await?;
        Ok(self.reviewer.answer(&body).await?)
    }
}

/// Piece by piece into one place: as they come, the pieces are in buffers larger than they are.
async fn read(body: Incoming, length: usize) -> Result<Vec<u8>, Unanswered> {
    let mut whole = Vec::with_capacity(length.min(REVIEW_BODY_BYTES));
    let mut body = Limited::new(body, REVIEW_BODY_BYTES);
    while let Some(frame) = body.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => whole.extend_from_slice(&data),
            Ok(Err(_trailers)) => {}
            Err(error) if error.is::<LengthLimitError>() => return Err(Unanswered::Large),
            Err(_) => return Err(Unanswered::Cut),
        }
    }
    Ok(whole)
}

/// A `Status` of Kubernetes: of anything else the API server shows the writer no more than the code.
fn failure(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    let code = status.as_u16();
    let failure =
        json!({ "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "message": message });
    respond(status, "application/json", failure.to_string())
}

fn text(status: StatusCode, text: impl Into<String>) -> Response<Full<Bytes>> {
    respond(status, "text/plain; charset=utf-8", text.into() + "\n")
}

fn respond(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests;
