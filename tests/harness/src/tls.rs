//! TLS as the tests use it: ring for everything, authorities made for one test, and clients that trust only them.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::ring};

pub use crate::certificates::Pair;
use crate::certificates::{self, Issuer};

/// Makes ring what rustls uses in this process. kube and reqwest take the process's default, reqwest also for plain HTTP.
pub(crate) fn use_ring() {
    let _ = ring::default_provider().install_default();
}

/// An HTTP client that trusts nobody, for what is not behind TLS. [`reqwest::Client::new`] reads the system's authorities
/// each time, and fails where there are none.
pub fn plain() -> reqwest::ClientBuilder {
    reqwest::Client::builder().tls_backend_preconfigured(trusting(RootCertStore::empty(), &[]))
}

/// A certificate authority.
#[derive(Debug)]
pub struct Authority(Issuer);

impl Authority {
    /// A new one.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self(certificates::issuer("harness-authority")?))
    }

    /// Its own certificate, as PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for servers on loopback, with its key.
    pub fn server(&self) -> anyhow::Result<Pair> {
        certificates::server(&self.0)
    }

    /// An HTTP client that trusts this authority alone and offers these protocols (ALPN).
    pub fn client(&self, protocols: &[&str]) -> anyhow::Result<reqwest::ClientBuilder> {
        Ok(reqwest::Client::builder().tls_backend_preconfigured(self.trusting(protocols)?))
    }

    /// TLS that trusts this authority alone and offers these protocols (ALPN).
    pub fn trusting(&self, protocols: &[&str]) -> anyhow::Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone())?;
        Ok(trusting(roots, protocols))
    }
}

pub(crate) fn trusting(roots: RootCertStore, protocols: &[&str]) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config
}
