//! The way to a tentacle's engine: one HTTP request, and an answer that is read to a limit.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tentacular_contract::{keys, limits::RUN_OUTPUT_BYTES};

use crate::run::RunId;

/// How long one attempt to connect may take: an address that nobody holds may never refuse.
const CONNECT: Duration = Duration::from_secs(5);

/// One `POST …/run`.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) url: String,
    pub(crate) run_id: RunId,
    /// The input, as JSON.
    pub(crate) body: Bytes,
}

/// What an engine answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// HTTP status code.
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// No connection came about: nothing was sent, it may be sent again.
    #[error("{0}")]
    NotConnected(String),
    /// The connection broke; the run may have begun.
    #[error("{0}")]
    Broken(String),
    /// The answer is longer than [`RUN_OUTPUT_BYTES`].
    #[error("the answer is longer than {RUN_OUTPUT_BYTES} bytes")]
    TooLong,
}

/// Runs tentacles, somehow.
pub(crate) trait Engine: Send + Sync + 'static {
    /// Sends one call, once.
    fn post(&self, call: &Call) -> impl Future<Output = Result<Answer, Failure>> + Send;
}

/// Runs tentacles over HTTP.
#[derive(Debug, Clone)]
pub(crate) struct HttpEngine(Client<HttpConnector, Full<Bytes>>);

impl HttpEngine {
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            // A connection that was kept may turn out closed after the request was written, and then nobody knows
            // whether the run began: every run has its own.
            .pool_max_idle_per_host(0)
            .retry_canceled_requests(false)
            .build(connector);
        Self(client)
    }
}

impl Engine for HttpEngine {
    async fn post(&self, call: &Call) -> Result<Answer, Failure> {
        let request = Request::post(&call.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("tentacular-scheduler/", env!("CARGO_PKG_VERSION")))
            .header(keys::RUN_ID_HEADER, call.run_id.to_string())
            .body(Full::new(call.body.clone()))
            .map_err(|error| Failure::NotConnected(format!("{} is no URL: {error}", call.url)))?;
        let answer = self.0.request(request).await.map_err(|error| {
            let text = root(&error).to_string();
            if error.is_connect() { Failure::NotConnected(text) } else { Failure::Broken(text) }
        })?;
        let status = answer.status().as_u16();
        match Limited::new(answer.into_body(), RUN_OUTPUT_BYTES).collect().await {
            Ok(body) => Ok(Answer { status, body: body.to_bytes() }),
            Err(error) if error.is::<LengthLimitError>() => Err(Failure::TooLong),
            Err(error) => Err(Failure::Broken(root(error.as_ref()).to_string())),
        }
    }
}

/// What lies at the bottom of an error, such as `Connection refused`; what is above it only says where.
fn root<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    std::iter::successors(Some(error), |error| error.source()).last().unwrap_or(error)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    async fn listener() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/team-a/words/run", listener.local_addr().expect("an address"));
        (listener, url)
    }

    fn call(url: String, input: &Value) -> Call {
        let body = input.to_string().into();
        Call { url, run_id: RunId::new(std::time::SystemTime::UNIX_EPOCH), body }
    }

    async fn ask_engine(input: &Value) -> (Result<Answer, Failure>, RunId) {
        let (listener, url) = listener().await;
        tokio::spawn(tentacular_example_engine::serve(listener));
        let call = call(url, input);
        (HttpEngine::new().post(&call).await, call.run_id)
    }

    #[tokio::test]
    async fn the_real_engine_gets_input_and_run_id() {
        let (answer, run_id) = ask_engine(&json!({ "text": "a b b" })).await;
        let answer = answer.expect("an answer");
        let report: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!((answer.status, &report["outputs"]["count"]["words"]), (200, &json!(3)));
        assert_eq!(report["outputs"]["metadata"]["runId"], run_id.to_string());
    }

    #[tokio::test]
    async fn a_failed_run_is_an_answer() {
        let (answer, _) = ask_engine(&json!({ "fail": "no luck" })).await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 500);
        assert!(String::from_utf8_lossy(&answer.body).contains("no luck"));
    }

    #[tokio::test]
    async fn an_answer_is_read_to_the_limit() {
        let (answer, _) = ask_engine(&json!({ "echo_bytes": RUN_OUTPUT_BYTES })).await;
        assert_eq!(answer.expect("an answer").body.len(), RUN_OUTPUT_BYTES);
        let (answer, _) = ask_engine(&json!({ "echo_bytes": RUN_OUTPUT_BYTES + 1 })).await;
        assert_eq!(answer, Err(Failure::TooLong));
    }

    #[tokio::test]
    async fn nobody_at_the_address_is_told_from_a_connection_that_broke() {
        let (gone, url) = listener().await;
        drop(gone);
        let answer = HttpEngine::new().post(&call(url, &json!({}))).await;
        assert!(matches!(&answer, Err(Failure::NotConnected(text)) if text.contains("refused")), "{answer:?}");

        let (listener, url) = listener().await;
        for said in ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort"] {
            let hang_up = async {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                stream.read_exact(&mut [0; 16]).await.expect("a request");
                stream.write_all(said.as_bytes()).await.expect("written");
            };
            let call = call(url.clone(), &json!({}));
            let engine = HttpEngine::new();
            let (answer, ()) = tokio::join!(engine.post(&call), hang_up);
            assert!(matches!(&answer, Err(Failure::Broken(_))), "{answer:?}");
        }
    }
}
