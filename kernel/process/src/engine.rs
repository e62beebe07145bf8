//! The way to a tentacle's engine, for running it and for asking how it is: one HTTP request on a connection of its own,
//! and an answer that is read to a limit.

use std::time::Duration;

use ::http::Request;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use crate::http::root_cause;

/// How long one attempt to connect may take: an address that nobody holds may never refuse.
const CONNECT: Duration = Duration::from_secs(5);

/// What an engine answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status code.
    pub status: u16,
    /// The whole body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// No connection came about: nothing was sent, it may be sent again.
    #[error("{0}")]
    NotConnected(String),
    /// The connection broke; the engine may have begun.
    #[error("{0}")]
    Broken(String),
    /// The answer is longer than this many bytes.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
}

/// A client of engines. Cheap to clone.
#[derive(Debug, Clone)]
pub struct EngineClient(Client<HttpConnector, Full<Bytes>>);

impl EngineClient {
    /// A client that keeps no connection: one that was kept may turn out closed after the request was written, and then
    /// nobody knows whether the engine began.
    #[expect(clippy::new_without_default, reason = "it holds sockets, which nothing does by default")]
    pub fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .retry_canceled_requests(false)
            .build(connector);
        Self(client)
    }

    /// Sends one request, once, and reads at most `limit` bytes of the answer.
    pub async fn send(&self, request: Request<Full<Bytes>>, limit: usize) -> Result<Answer, NoAnswer> {
        let answer = self.0.request(request).await.map_err(|error| {
            let text = root_cause(&error).to_string();
            if error.is_connect() { NoAnswer::NotConnected(text) } else { NoAnswer::Broken(text) }
        })?;
        let status = answer.status().as_u16();
        match Limited::new(answer.into_body(), limit).collect().await {
            Ok(body) => Ok(Answer { status, body: body.to_bytes() }),
            Err(error) if error.is::<LengthLimitError>() => Err(NoAnswer::TooLong(limit)),
            Err(error) => Err(NoAnswer::Broken(root_cause(error.as_ref()).to_string())),
        }
    }
}

#[cfg(test)]
mod tests;
