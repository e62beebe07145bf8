//! A client over TLS that trusts the soak's authority alone, and says when each request began and ended.

use std::time::{Duration, Instant};

use reqwest::{header::WWW_AUTHENTICATE, tls::TlsInfo};
use serde_json::Value;
use tentacular_demo::Message;
use tentacular_test_harness::tls::Authority;

/// An answer that takes longer than this will not come.
const PATIENCE: Duration = Duration::from_mins(1);

/// The protocols of HTTP that a client speaks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Http {
    One,
    Two,
}

/// One client, with connections of its own.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
}

/// One request and what became of it.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) begun: Instant,
    pub(crate) ended: Instant,
    /// Or why there is none.
    pub(crate) answer: Result<Answer, String>,
}

/// An answer, as far as it is looked at.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) text: String,
    pub(crate) challenge: String,
    /// The server's certificate, DER.
    pub(crate) certificate: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

impl Client {
    pub(crate) fn new(authority: &Authority, url: &str, http: Http) -> anyhow::Result<Self> {
        let protocols: &[&str] = match http {
            Http::One => &["http/1.1"],
            Http::Two => &["h2"],
        };
        let http = authority.client(protocols)?.tls_info(true).timeout(PATIENCE).build()?;
        Ok(Self { http, url: url.to_owned() })
    }

    /// Sends one message with a token.
    pub(crate) async fn send(&self, token: &str, message: &Message) -> Exchange {
        let begun = Instant::now();
        let answer = self.ask(token, message).await.map_err(|error| format!("{:#}", anyhow::Error::from(error)));
        Exchange { begun, ended: Instant::now(), answer }
    }

    async fn ask(&self, token: &str, message: &Message) -> reqwest::Result<Answer> {
        let request = self.http.post(&self.url).bearer_auth(token).body(message.body.clone());
        let request = message.headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        let response = request.send().await?;
        let tls = response.extensions().get::<TlsInfo>();
        let certificate = tls.and_then(TlsInfo::peer_certificate).unwrap_or_default().to_vec();
        let challenge = response.headers().get(WWW_AUTHENTICATE).map(|value| value.to_str().unwrap_or_default());
        let (status, challenge) = (response.status().as_u16(), challenge.unwrap_or_default().to_owned());
        Ok(Answer { status, text: response.text().await?, challenge, certificate })
    }
}
