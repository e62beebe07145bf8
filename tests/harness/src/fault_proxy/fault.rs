//! What can go wrong between a process and the API server.

use std::{convert::Infallible, sync::Arc};

use anyhow::bail;
use futures::stream;
use http::{
    Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::StreamBody;
use hyper::body::{Bytes, Frame};
use serde_json::json;

use crate::Child;

/// A fault of one request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It does not reach the API server and is answered with this status, and these seconds to wait where there are some.
    Status(u16, Option<u32>),
    /// It does not reach the API server, and the connection is closed.
    CloseBefore,
    /// The API server carries it out, and the connection is closed in place of an answer.
    CloseAfter,
    /// The API server carries it out, and after the head of its answer nothing comes, not even the end.
    Silence,
    /// The API server carries it out, and before the answer this process is killed.
    Kill(Arc<Child>),
    /// It does not reach the API server, and this process is killed.
    KillBefore(Arc<Child>),
}

impl Fault {
    /// Whether the API server carries the request out first.
    pub(super) const fn is_after(&self) -> bool {
        matches!(self, Self::CloseAfter | Self::Silence | Self::Kill(_))
    }

    /// What it makes of a request that arrived. An error closes the connection.
    pub(super) fn answer(self) -> anyhow::Result<Response<reqwest::Body>> {
        if let Self::KillBefore(child) = &self {
            child.kill()?;
        }
        let Self::Status(code, wait) = self else { bail!("closed before the request was carried out") };
        let status = StatusCode::from_u16(code)?;
        let text = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
            "message": "a fault that a test asked for", "reason": reason(code),
            "details": { "retryAfterSeconds": wait.unwrap_or_default() },
        });
        let mut response = Response::builder().status(status).header(CONTENT_TYPE, "application/json");
        if let Some(wait) = wait {
            response = response.header(RETRY_AFTER, wait);
        }
        Ok(response.body(text.to_string().into())?)
    }

    /// What it makes of the answer to a request that was carried out: never a whole one.
    pub(super) async fn after(self, answer: Response<reqwest::Body>) -> anyhow::Result<Response<reqwest::Body>> {
        if let Self::Kill(child) = &self {
            child.kill()?;
            child.wait().await?;
        }
        if matches!(self, Self::Silence) {
            let silence = stream::pending::<Result<Frame<Bytes>, Infallible>>();
            return Ok(answer.map(|_| reqwest::Body::wrap(StreamBody::new(silence))));
        }
        bail!("closed after the request was carried out")
    }
}

/// The reason that the API server gives with a status code.
const fn reason(code: u16) -> &'static str {
    match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "",
    }
}
