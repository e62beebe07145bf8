//! What the API server talks to: a POST to [`PATH`].

use std::{convert::Infallible, time::Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use tentacular_contract::limits::{HEADER_TIME, REVIEW_BODY_BYTES};
use tentacular_process::http::Handler;
use tokio::time::timeout;

use crate::{decisions::Decisions, review::Reviewer};

/// The only path.
const PATH: &str = "/review";

/// Answers the requests of the API server.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    pub(crate) reviewer: Reviewer,
    pub(crate) decisions: Decisions,
}

impl Handler for Admission {
    type Body = Full<Bytes>;

    async fn handle(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let response = match (request.uri().path(), request.method()) {
            (PATH, &Method::POST) => {
                let arrived = Instant::now();
                let response = self.admit(request.into_body()).await;
                self.decisions.took(arrived.elapsed());
                response
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
    async fn admit<B>(&self, body: B) -> Response<Full<Bytes>>
    where
        B: hyper::body::Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let body = match timeout(HEADER_TIME, Limited::new(body, REVIEW_BODY_BYTES).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                let problem = format!("the review is larger than the limit of {REVIEW_BODY_BYTES} bytes");
                tracing::warn!(problem, "no answer to a review");
                return text(StatusCode::PAYLOAD_TOO_LARGE, problem);
            }
            Ok(Err(_)) => return text(StatusCode::BAD_REQUEST, "the body ended early"),
            Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "the body took too long"),
        };
        match self.reviewer.answer(&body).await {
            Ok(review) => respond(StatusCode::OK, "application/json", review),
            Err(error) => {
                tracing::warn!(%error, "no answer to a review");
                text(StatusCode::BAD_REQUEST, error.to_string())
            }
        }
    }
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
