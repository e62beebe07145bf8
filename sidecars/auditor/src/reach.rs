//! Whether a server answers over HTTP: the webhook's and the identity provider's are asked as those do who depend on them,
//! with the certificate authorities that these trust.

use std::{path::Path, sync::Arc, time::Duration};

use reqwest::{Client, redirect::Policy};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

/// How long an answer may take, connecting included.
const TIME: Duration = Duration::from_secs(5);
/// Most of an answer that is read, in bytes.
const BODY_BYTES: usize = 1024 * 1024;

/// Whom to trust.
#[derive(Debug)]
pub(crate) struct Authorities(RootCertStore);

impl Authorities {
    /// The authorities in PEM text.
    pub(crate) fn pem(text: &[u8]) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        add(&mut roots, CertificateDer::pem_slice_iter(text))?;
        Ok(Self(roots))
    }

    /// The system's, and those of a PEM file.
    pub(crate) fn system(file: Option<&Path>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(file) = file {
            let named = |error| format!("{}: {error}", file.display());
            let certificates = CertificateDer::pem_file_iter(file).map_err(|error| named(error.to_string()))?;
            add(&mut roots, certificates).map_err(named)?;
        }
        Ok(Self(roots))
    }
}

fn add<E: std::fmt::Display>(
    roots: &mut RootCertStore,
    certificates: impl Iterator<Item = Result<CertificateDer<'static>, E>>,
) -> Result<(), String> {
    let certificates = certificates.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    match roots.add_parsable_certificates(certificates) {
        (0, _) => Err("there is no certificate in it".to_owned()),
        _ => Ok(()),
    }
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The HTTP status code.
    pub(crate) status: u16,
    /// The body, to a limit.
    pub(crate) body: Vec<u8>,
}

/// The answer to a GET of `url`, or why there is none. Redirections are not followed.
pub(crate) async fn get(url: &str, authorities: Authorities) -> Result<Answer, String> {
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(authorities.0)
        .with_no_client_auth();
    let client = Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(Policy::none())
        .no_proxy()
        .timeout(TIME)
        .user_agent(concat!("tentacular-auditor/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| root_cause(&error))?;
    let mut response = client.get(url).send().await.map_err(|error| root_cause(&error))?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| root_cause(&error))? {
        if body.len() + chunk.len() > BODY_BYTES {
            return Err(format!("it answers more than {BODY_BYTES} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, body })
}

fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
