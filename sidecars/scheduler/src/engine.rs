//! How a run reaches its engine: one `POST`, sent once.

use std::future::Future;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use tentacular_contract::{keys, limits::RUN_OUTPUT_BYTES};
use tentacular_process::engine::{Answer, EngineClient, NoAnswer};

use crate::run::RunId;

/// One `POST …/run`.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) url: String,
    pub(crate) run_id: RunId,
    /// The input, as JSON.
    pub(crate) body: Bytes,
}

/// Runs tentacles, somehow.
pub(crate) trait Engine: Send + Sync + 'static {
    /// Sends one call, once.
    fn post(&self, call: &Call) -> impl Future<Output = Result<Answer, NoAnswer>> + Send;
}

impl Engine for EngineClient {
    async fn post(&self, call: &Call) -> Result<Answer, NoAnswer> {
        let request = Request::post(&call.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("tentacular-scheduler/", env!("CARGO_PKG_VERSION")))
            .header(keys::RUN_ID_HEADER, call.run_id.to_string())
            .body(Full::new(call.body.clone()))
            .map_err(|error| NoAnswer::NotConnected(format!("{} is no URL: {error}", call.url)))?;
        self.send(request, RUN_OUTPUT_BYTES).await
    }
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

    async fn ask_engine(input: &Value) -> (Result<Answer, NoAnswer>, RunId) {
        let (listener, url) = listener().await;
        tokio::spawn(tentacular_example_engine::serve(listener));
        let call = call(url, input);
        (EngineClient::new().post(&call).await, call.run_id)
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
        assert_eq!(answer, Err(NoAnswer::TooLong(RUN_OUTPUT_BYTES)));
    }

    #[tokio::test]
    async fn a_tentacle_sends_nobody_elsewhere_and_answers_without_end_are_cut() {
        let (elsewhere, target) = listener().await;
        let redirect = format!("HTTP/1.1 307 Go\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n");
        let (listener, url) = listener().await;
        let engine = EngineClient::new();
        let answer = async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            stream.read_exact(&mut [0; 16]).await.expect("a request");
            stream.write_all(redirect.as_bytes()).await.expect("written");
        };
        let call = call(url, &json!({}));
        let (redirected, ()) = tokio::join!(engine.post(&call), answer);
        assert_eq!(redirected.map(|answer| answer.status), Ok(307));
        let followed = tokio::time::timeout(std::time::Duration::from_millis(50), elsewhere.accept()).await;
        assert!(followed.is_err(), "{followed:?}");

        let endless = async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            stream.read_exact(&mut [0; 16]).await.expect("a request");
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.expect("written");
            // Until the other side has had enough.
            let chunk = [b"1000\r\n", &[0xff; 0x1000][..], b"\r\n"].concat();
            while stream.write_all(&chunk).await.is_ok() {}
        };
        let (cut, ()) = tokio::join!(engine.post(&call), endless);
        assert_eq!(cut, Err(NoAnswer::TooLong(RUN_OUTPUT_BYTES)));
    }

    #[tokio::test]
    async fn nobody_at_the_address_is_told_from_a_connection_that_broke() {
        let (gone, url) = listener().await;
        drop(gone);
        let answer = EngineClient::new().post(&call(url, &json!({}))).await;
        assert!(matches!(&answer, Err(NoAnswer::NotConnected(text)) if text.contains("refused")), "{answer:?}");

        let (listener, url) = listener().await;
        for said in ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort"] {
            let hang_up = async {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                stream.read_exact(&mut [0; 16]).await.expect("a request");
                stream.write_all(said.as_bytes()).await.expect("written");
            };
            let call = call(url.clone(), &json!({}));
            let engine = EngineClient::new();
            let (answer, ()) = tokio::join!(engine.post(&call), hang_up);
            assert!(matches!(&answer, Err(NoAnswer::Broken(_))), "{answer:?}");
        }
    }
}
