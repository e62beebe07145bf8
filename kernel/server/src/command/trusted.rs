//! Trust in a certificate that is at hand, whatever name and authority it has: a server that calls itself knows its own.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::ring,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _};
use tentacular_process::trust;

/// Accepts the certificates at hand, and those that the authorities say are right.
#[derive(Debug)]
struct AtHand {
    certificates: Vec<CertificateDer<'static>>,
    authorities: Arc<WebPkiServerVerifier>,
}

/// TLS of a client that trusts the system's authorities, and the certificates of a file: as they are, and as authorities.
///
/// # Errors
/// When the file cannot be read or holds no certificate.
pub(super) fn client_config(file: Option<&Path>) -> anyhow::Result<ClientConfig> {
    let mut roots = trust::system_roots();
    let Some(file) = file else { return Ok(trust::client_config(roots)?) };
    let pem = std::fs::read(file).with_context(|| format!("cannot read {} (--trust)", file.display()))?;
    trust::add_authorities(&mut roots, &pem).with_context(|| format!("{} (--trust)", file.display()))?;
    let certificates = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok).collect();
    let provider = Arc::new(ring::default_provider());
    let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots.clone()), provider).build()?;
    let mut config = trust::client_config(roots)?;
    config.dangerous().set_certificate_verifier(Arc::new(AtHand { certificates, authorities }));
    Ok(config)
}

impl ServerCertVerifier for AtHand {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.certificates.contains(end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        self.authorities.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}
