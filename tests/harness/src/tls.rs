//! TLS as the tests use it: ring for everything, authorities made for one test, and clients that trust only them.

use std::{fmt, io, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

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

/// An HTTP client that trusts the authorities in `pem` alone.
pub fn trusting_pem(pem: &str) -> anyhow::Result<reqwest::ClientBuilder> {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(authority?)?;
    }
    Ok(reqwest::Client::builder().tls_backend_preconfigured(trusting(roots, &[])))
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

    /// A certificate for servers of these names that expires after `life`, with its key.
    pub fn lasting(&self, names: &[&str], life: Duration) -> anyhow::Result<Pair> {
        certificates::lasting(&self.0, names, life)
    }

    /// A certificate for a client and server with this identity, a URI (an X.509-SVID of SPIFFE), with its key.
    pub fn identity(&self, uri: &str) -> anyhow::Result<Pair> {
        certificates::identity(&self.0, uri)
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

/// The server's side of TLS. HTTP/1.1 alone: a connection carries one request at a time, so that closing one hits that
/// request and no other.
#[derive(Clone)]
pub struct Acceptor(TlsAcceptor);

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").finish_non_exhaustive()
    }
}

impl Acceptor {
    /// With a certificate of this authority for loopback.
    pub fn new(authority: &Authority) -> anyhow::Result<Self> {
        let pair = authority.server()?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes())?],
                PrivateKeyDer::from_pem_slice(pair.key.as_bytes())?,
            )?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// The handshake on a connection.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.0.accept(stream).await
    }
}
