//! HTTP clients for the server, and what its answers mean.

use std::time::Duration;

use anyhow::Context as _;
use aws_sdk_s3::{
    config::{BehaviorVersion, Credentials, Region, SharedHttpClient, retry::RetryConfig, timeout::TimeoutConfig},
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
};
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use reqwest::{Url, redirect::Policy, retry};
use tentacular_process::trust;

use super::settings::{Key, RustfsArgs, Server};
use crate::backing::service::Failure;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest wait for the answer to one request.
const ANSWER: Duration = Duration::from_secs(15);
/// Attempts at a request.
const ATTEMPTS: u32 = 3;

/// What the refusals of a key say that could be right again later: an administrator's that is being changed, or a clock's fault.
const UNADMITTED: [&str; 3] = ["InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed"];

/// The clients, which trust the authorities of the settings.
pub(super) struct Connections {
    data: SharedHttpClient,
    /// For the admin API.
    pub(super) admin: reqwest::Client,
}

/// The server's, whichever that is by the settings.
struct AnyHost;

impl PartialEq<&str> for AnyHost {
    fn eq(&self, _: &&str) -> bool {
        true
    }
}

impl Connections {
    /// By the arguments. Fails when the authorities cannot be read.
    pub(super) fn new(args: &RustfsArgs) -> anyhow::Result<Self> {
        let authorities = authorities(args)?;
        let mut trusted = TrustStore::empty().with_native_roots(authorities.is_none());
        let roots = match &authorities {
            Some(pem) => {
                trusted.add_pem_certificate(pem.as_slice());
                trust::authorities(pem).context("the certificate authorities for rustfs")?
            }
            None => trust::system_roots(),
        };
        let context = TlsContext::builder().with_trust_store(trusted).build()?;
        let data = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .tls_context(context)
            .build_https();
        // All that is asked may be asked twice. A connection that was kept may end just as it is used again.
        let again = retry::for_host(AnyHost).no_budget().max_retries_per_request(ATTEMPTS - 1);
        let again = again.classify_fn(|answer| match answer.error() {
            Some(_) => answer.retryable(),
            None => answer.success(),
        });
        let admin = reqwest::Client::builder()
            .tls_backend_preconfigured(trust::client_config(roots)?)
            .no_proxy()
            .redirect(Policy::none())
            .retry(again)
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            .build()?;
        Ok(Self { data, admin })
    }

    /// A client for buckets and objects, with that key.
    pub(super) fn s3(&self, server: &Server, key: &Key) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(self.data.clone())
            .credentials_provider(credentials(key))
            .region(Region::new(server.region.clone()))
            .endpoint_url(server.endpoint.as_str())
            // Hosts named after buckets need a DNS of their own.
            .force_path_style(true)
            .timeout_config(timeouts())
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .build();
        aws_sdk_s3::Client::from_conf(config)
    }

    /// A client for users, as the administrator.
    pub(super) fn iam(&self, server: &Server, endpoint: Option<&Url>) -> aws_sdk_iam::Client {
        let mut config = aws_sdk_iam::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(self.data.clone())
            .credentials_provider(credentials(&server.administrator))
            .region(Region::new(server.region.clone()))
            .timeout_config(timeouts())
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS));
        config.set_endpoint_url(endpoint.map(|url| url.as_str().trim_end_matches('/').to_owned()));
        aws_sdk_iam::Client::from_conf(config.build())
    }
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(ANSWER).build()
}

/// What signs requests with that key.
pub(super) fn credentials(key: &Key) -> Credentials {
    Credentials::new(&key.id, &key.secret.0, None, None, "tentacular")
}

/// The PEM text of the authorities that are trusted instead of the system's.
fn authorities(args: &RustfsArgs) -> anyhow::Result<Option<Vec<u8>>> {
    if let Some(pem) = args.ca_pem.as_ref().filter(|pem| !pem.is_empty()) {
        return Ok(Some(pem.clone().into_bytes()));
    }
    let Some(path) = &args.ca_file else { return Ok(None) };
    let pem = std::fs::read(path)
        .with_context(|| format!("--rustfs-ca-file (TENTACULAR_RUSTFS_CA_CERT_PATH) {}", path.display()))?;
    Ok(Some(pem))
}

/// Why a call for buckets or objects failed.
pub(super) fn failure<E: ProvideErrorMetadata + std::error::Error + 'static>(error: &SdkError<E>) -> Failure {
    match error {
        SdkError::ServiceError(answer) => {
            refusal(answer.raw().status().as_u16(), answer.err().code(), answer.err().message())
        }
        // The causes say more than the error, and no credential is among them.
        _ => Failure::Unavailable(DisplayErrorContext(error).to_string()),
    }
}

/// What an answer means that says no.
pub(super) fn refusal(status: u16, code: Option<&str>, message: Option<&str>) -> Failure {
    let words: Vec<_> = [code, message].into_iter().flatten().filter(|text| !text.is_empty()).collect();
    let text = if words.is_empty() { format!("it answers with HTTP status {status}") } else { words.join(": ") };
    if status >= 500 || status == 429 || code.is_some_and(|code| UNADMITTED.contains(&code)) {
        Failure::Unavailable(text)
    } else {
        Failure::Refused(text)
    }
}
