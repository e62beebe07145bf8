//! Asks a tentacle's engine how it is: one HTTP request, within a time and to a limit.

use std::{future::Future, time::Duration};

use http::{Request, header};
use http_body_util::Full;
use tentacular_contract::limits::HEALTH_BODY_BYTES;
use tentacular_process::engine::{EngineClient, NoAnswer};
use tokio::time::timeout;

/// How long an engine may take to answer, connecting included.
const TIME: Duration = Duration::from_secs(5);

/// Why an engine's word is missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProbeError {
    /// Nobody answers, or not to the end.
    #[error("health endpoint unreachable: {0}")]
    Unreachable(String),
    /// The answer is no 2xx.
    #[error("health endpoint returned status {0}")]
    Status(u16),
    /// The answer is longer than [`HEALTH_BODY_BYTES`].
    #[error("health endpoint answered more than {HEALTH_BODY_BYTES} bytes")]
    TooLong,
}

/// Asks engines, somehow.
pub(crate) trait Probe: Send + Sync + 'static {
    /// The body of the answer at `url`.
    fn ask(&self, url: &str) -> impl Future<Output = Result<Vec<u8>, ProbeError>> + Send;
}

impl Probe for EngineClient {
    async fn ask(&self, url: &str) -> Result<Vec<u8>, ProbeError> {
        let request = Request::get(url)
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("tentacular-auditor/", env!("CARGO_PKG_VERSION")))
            .body(Full::default())
            .map_err(|error| ProbeError::Unreachable(format!("{url} is no URL: {error}")))?;
        let late = || ProbeError::Unreachable(format!("no answer within {} s", TIME.as_secs()));
        match timeout(TIME, self.send(request, HEALTH_BODY_BYTES)).await.map_err(|_| late())? {
            Ok(answer) if (200..300).contains(&answer.status) => Ok(answer.body.into()),
            Ok(answer) => Err(ProbeError::Status(answer.status)),
            Err(NoAnswer::TooLong(_)) => Err(ProbeError::TooLong),
            Err(error) => Err(ProbeError::Unreachable(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hyper_util::{client::legacy::Client, rt::TokioExecutor};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;
    use crate::{
        health::{Light, by_engine},
        tentacle::replicas::tests::replicas,
    };

    async fn listener() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}/team-a/words", listener.local_addr().expect("an address"));
        (listener, base)
    }

    /// Answers one request with these bytes and hangs up.
    async fn answered(said: String) -> Result<Vec<u8>, ProbeError> {
        let (listener, base) = listener().await;
        let serve = async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = Vec::new();
            // What is left unread would turn the end of the answer into a reset.
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.expect("a request"));
            }
            // The probe hangs up when it has had enough.
            let _ = stream.write_all(said.as_bytes()).await;
        };
        let probe = EngineClient::new();
        tokio::join!(probe.ask(&base), serve).0
    }

    #[tokio::test]
    async fn the_real_engine_turns_amber_when_a_run_failed() {
        let (listener, base) = listener().await;
        tokio::spawn(tentacular_example_engine::serve(listener));
        let health =
            async || by_engine(replicas(1, 1), EngineClient::new().ask(&format!("{base}/health?detail=1")).await);
        let run = async |body: &'static str| {
            let client = Client::builder(TokioExecutor::new()).build_http();
            let request = Request::post(format!("{base}/run")).body(Full::new(Bytes::from(body)));
            client.request(request.expect("a request")).await.expect("an answer");
        };
        assert_eq!(health().await.status, Light::Green);
        run(r#"{"fail": "no\u001b luck"}"#).await;
        let failed = health().await;
        assert_eq!((failed.status, failed.reason.as_deref()), (Light::Amber, Some("last execution failed")));
        assert!(failed.detail.expect("detail").contains("no luck"));
        run("{}").await;
        assert_eq!(health().await.status, Light::Green);
    }

    #[tokio::test]
    async fn what_is_no_answer_is_told_apart() {
        let (gone, base) = listener().await;
        drop(gone);
        let refused = EngineClient::new().ask(&base).await;
        assert!(matches!(&refused, Err(ProbeError::Unreachable(text)) if text.contains("refused")), "{refused:?}");

        let status = answered("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n".to_owned()).await;
        assert_eq!(status, Err(ProbeError::Status(503)));
        let cut = answered("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort".to_owned()).await;
        assert!(matches!(cut, Err(ProbeError::Unreachable(_))), "{cut:?}");
        let endless = "HTTP/1.1 200 OK\r\n\r\n".to_owned() + &"x".repeat(HEALTH_BODY_BYTES + 1);
        assert_eq!(answered(endless).await, Err(ProbeError::TooLong));
        let full = "HTTP/1.1 200 OK\r\n\r\n".to_owned() + &"x".repeat(HEALTH_BODY_BYTES);
        assert_eq!(answered(full).await.map(|body| body.len()), Ok(HEALTH_BODY_BYTES));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_engine_is_given_up_on() {
        let (_silent, base) = listener().await;
        let answer = EngineClient::new().ask(&base).await;
        assert_eq!(answer, Err(ProbeError::Unreachable("no answer within 5 s".to_owned())));
    }
}
