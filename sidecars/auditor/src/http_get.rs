//! Whether a server answers over HTTP: the webhook's and the identity provider's are asked as those do who depend on them,
//! with the certificate authorities that these trust.

use std::time::Duration;

use reqwest::{Client, redirect::Policy};
use rustls::RootCertStore;
use tentacular_process::{http::root_cause, trust};

/// How long an answer may take, connecting included.
const TIME: Duration = Duration::from_secs(5);
/// Most of an answer that is read, in bytes.
const BODY_BYTES: usize = 1024 * 1024;

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The HTTP status code.
    pub(crate) status: u16,
    /// The body, to a limit.
    pub(crate) body: Vec<u8>,
}

/// The answer to a GET of `url`, or why there is none. Redirections are not followed.
pub(crate) async fn get(url: &str, authorities: RootCertStore) -> Result<Answer, String> {
    let tls = trust::client_config(authorities).map_err(|error| error.to_string())?;
    let client = Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(Policy::none())
        .no_proxy()
        .timeout(TIME)
        .user_agent(concat!("tentacular-auditor/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| root_cause(&error).to_string())?;
    let mut response = client.get(url).send().await.map_err(|error| root_cause(&error).to_string())?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| root_cause(&error).to_string())? {
        if body.len() + chunk.len() > BODY_BYTES {
            return Err(format!("it answers more than {BODY_BYTES} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, body })
}
