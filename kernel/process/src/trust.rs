//! Whom the processes' clients trust when a server shows its certificate.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{
    CertificateDer,
    pem::{self, PemObject as _},
};

/// A text that should hold certificate authorities and holds none.
#[derive(Debug, thiserror::Error)]
pub enum NoAuthorities {
    /// It is no PEM (RFC 7468).
    #[error("it is no PEM: {0}")]
    Unreadable(pem::Error),
    /// It may hold something else, such as a key.
    #[error("there is no certificate in it")]
    Empty,
}

/// A file of certificate authorities that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot read certificates from {}: {why}", path.display())]
pub struct UnusableFile {
    path: PathBuf,
    why: String,
}

/// The system's authorities, those of `SSL_CERT_FILE` where that is set.
pub fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// Trusts the authorities of a PEM text too. One that cannot be used is left out, as bundles hold very old ones.
///
/// # Errors
/// When there is none that can be used.
pub fn add_authorities(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), NoAuthorities> {
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(NoAuthorities::Unreadable)?;
    match roots.add_parsable_certificates(certificates) {
        (0, _) => Err(NoAuthorities::Empty),
        _ => Ok(()),
    }
}

/// The authorities of a PEM text alone.
///
/// # Errors
/// When there is none that can be used.
pub fn authorities(pem: &[u8]) -> Result<RootCertStore, NoAuthorities> {
    let mut roots = RootCertStore::empty();
    add_authorities(&mut roots, pem)?;
    Ok(roots)
}

/// The system's authorities, and those of a PEM file where there is one.
///
/// # Errors
/// When the file cannot be read, or has none that can be used.
pub fn system_and(file: Option<&Path>) -> Result<RootCertStore, UnusableFile> {
    let mut roots = system_roots();
    if let Some(path) = file {
        let unusable = |why| UnusableFile { path: path.to_owned(), why };
        let pem = fs::read(path).map_err(|error| unusable(error.to_string()))?;
        add_authorities(&mut roots, &pem).map_err(|error| unusable(error.to_string()))?;
    }
    Ok(roots)
}

/// TLS of a client that trusts these authorities.
///
/// # Errors
/// When the crypto provider has no protocol version that is safe.
pub fn client_config(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let versions = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let versions = versions.with_safe_default_protocol_versions()?;
    Ok(versions.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_an_authority_is_an_error() {
        let mut roots = RootCertStore::empty();
        let key = rcgen::KeyPair::generate().expect("a key").serialize_pem();
        for text in ["", "no PEM", &key] {
            let error = add_authorities(&mut roots, text.as_bytes()).expect_err(text);
            assert!(matches!(error, NoAuthorities::Empty), "{error}");
        }
        let broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
        let error = add_authorities(&mut roots, broken.as_bytes()).expect_err("a broken text");
        assert!(matches!(error, NoAuthorities::Unreadable(_)), "{error}");
        assert!(roots.is_empty());

        let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate").cert;
        add_authorities(&mut roots, format!("{key}{}", certificate.pem()).as_bytes()).expect("a certificate");
        assert_eq!(roots.len(), 1);
    }
}
