//! How the API server is reached: credentials, TLS and TCP. No rate limit, since the API server has its own.

use std::{path::Path, time::Duration};

use http::{HeaderValue, header::USER_AGENT};
use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use kube::{
    Config,
    client::{Body, ConfigExt},
    config::{KubeConfigOptions, Kubeconfig},
};
use tower::{BoxError, ServiceBuilder};

use crate::error::{About, Error};

/// Longest wait for a TCP connection.
const CONNECT: Duration = Duration::from_secs(5);
/// A watch may be idle for minutes, so a peer that vanished is found by TCP keepalive: after 15 s of silence, three
/// probes 5 s apart.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;
/// The same bound for bytes that were sent and never acknowledged.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
/// An idle connection is kept this long for the next request; each costs memory on both sides.
const POOL_IDLE: Duration = Duration::from_secs(30);

/// Most bytes of an answer that a connection holds unread, and most bytes of its head. A connection keeps what it once grew to,
/// and each enclave has one for its watch.
const BUFFER: usize = 64 << 10;

/// Configuration by inference: the file in `KUBECONFIG`, else `~/.kube/config`, else the pod's service account.
pub(crate) async fn inferred() -> Result<Config, Error> {
    Config::infer().await.map_err(|error| unusable(&error))
}

/// Configuration by a kubeconfig file alone.
pub(crate) async fn from_file(path: &Path) -> Result<Config, Error> {
    let file = Kubeconfig::read_from(path).map_err(|error| unusable(&error))?;
    Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.map_err(|error| unusable(&error))
}

/// A client for `config` that names itself `tentacular-<part>`. Must be called within a tokio runtime.
pub(crate) fn client(mut config: Config, part: &str) -> Result<kube::Client, Error> {
    // A provider that is installed already is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let agent = format!("tentacular-{part}/{}", env!("CARGO_PKG_VERSION"));
    config.headers.push((USER_AGENT, HeaderValue::try_from(agent).map_err(|error| unusable(&error))?));
    stack(&config).map_err(|error| unusable(&error))
}

/// kube's own stack has no keepalive, so a lost peer would look like an idle watch for five minutes, and it repeats
/// requests of every kind after a 503 for minutes. Nor is there a proxy here: the API server is reached directly.
fn stack(config: &Config) -> kube::Result<kube::Client> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT));
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    tcp.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
    #[cfg(target_os = "linux")]
    tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    let http = HttpClient::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .http1_max_buf_size(BUFFER)
        .build::<_, Body>(config.rustls_https_connector_with_connector(tcp)?);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(kube::Client::new(service, config.default_namespace.clone()))
}

fn unusable(error: &dyn std::error::Error) -> Error {
    let about =
        About { kind: String::new(), plural: "Kubernetes configuration".to_owned(), namespace: None, name: None };
    Error::other(&about, error.to_string())
}
