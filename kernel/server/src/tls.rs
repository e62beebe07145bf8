//! TLS on the listener: the certificate and its key, read from their files at the start and again when these change.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, anyhow, ensure};
use clap::Args;
use rustls::{
    CertificateError, Error, InconsistentKeys, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::ring,
    sign::CertifiedKey,
};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer, ServerName, UnixTime,
    pem::{self, PemObject},
};
use tentacular_process::{Context, files::Files, http::tls::Serving};

/// Where the certificate is.
#[derive(Debug, Args)]
#[command(next_help_heading = "TLS")]
pub(crate) struct TlsArgs {
    /// File of the endpoint's certificate, and of those that lead to its authority, in PEM. Without it the endpoint speaks
    /// plain HTTP.
    #[arg(long, env = "TENTACULAR_TLS_CERT_FILE", requires = "tls_key_file")]
    tls_cert_file: Option<PathBuf>,
    /// File of the certificate's private key, in PEM, not encrypted.
    #[arg(long, env = "TENTACULAR_TLS_KEY_FILE", requires = "tls_cert_file")]
    tls_key_file: Option<PathBuf>,
}

impl TlsArgs {
    /// File of the endpoint's certificate; none where it speaks plain HTTP.
    pub(crate) fn certificate(&self) -> Option<&Path> {
        self.tls_cert_file.as_deref()
    }
}

/// Reads the certificate, where one is set, and keeps what is served up to date with its files. A pair that cannot be used
/// ends the start; later it changes nothing.
pub(crate) fn start(args: TlsArgs, context: &Context) -> anyhow::Result<Option<Serving>> {
    let TlsArgs { tls_cert_file: Some(certificate), tls_key_file: Some(key) } = args else { return Ok(None) };
    let pair = Pair::new(certificate, key);
    pair.serve()?;
    let serving = pair.serving.clone();
    context.spawn("TLS certificate", async move {
        pair.follow().await;
        Ok(())
    });
    Ok(Some(serving))
}

/// The two files, and where what they hold is served.
#[derive(Debug)]
struct Pair {
    certificate: PathBuf,
    key: PathBuf,
    files: Files,
    serving: Serving,
}

impl Pair {
    fn new(certificate: PathBuf, key: PathBuf) -> Self {
        let files = Files::new([certificate.clone(), key.clone()]);
        Self { certificate, key, files, serving: Serving::default() }
    }

    async fn follow(&self) {
        self.files.follow(|| self.serve_again()).await;
    }

    fn serve_again(&self) -> anyhow::Result<()> {
        self.serve()?;
        tracing::info!(path = %self.certificate.display(), "the TLS certificate was read again");
        Ok(())
    }

    /// Reads the pair and serves it, also when its dates are wrong: it may be the clock that is.
    fn serve(&self) -> anyhow::Result<()> {
        let pair = self.read()?;
        if let Some(reason) = untimely(pair.end_entity_cert()?, UnixTime::now()) {
            tracing::warn!(path = %self.certificate.display(), %reason, "clients will refuse the TLS certificate");
        }
        self.serving.set(Arc::new(pair));
        Ok(())
    }

    fn read(&self) -> anyhow::Result<CertifiedKey> {
        let (certificate, key) = (in_certificate(&self.certificate), in_key(&self.key));
        let chain = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .with_context(|| format!("cannot read {certificate}"))?;
        ensure!(!chain.is_empty(), "there is no certificate in {certificate}");
        let private = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| match error {
            pem::Error::Io(error) => anyhow!(error).context(format!("cannot read {key}")),
            // Says nothing of the file's text, which is a secret.
            _ => anyhow!("there is no private key in {key}; give one in PEM, not encrypted"),
        })?;
        CertifiedKey::from_der(chain, private, &ring::default_provider()).map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                anyhow!("{key} is not the key of the first certificate in {certificate}")
            }
            error => anyhow!(error).context(format!("cannot serve {certificate} with {key}")),
        })
    }
}

fn in_certificate(path: &Path) -> String {
    format!("{} (--tls-cert-file)", path.display())
}

fn in_key(path: &Path) -> String {
    format!("{} (--tls-key-file)", path.display())
}

/// Why the certificate does not hold at this time, if it does not.
fn untimely(certificate: &CertificateDer<'_>, now: UnixTime) -> Option<CertificateError> {
    // A verifier looks at the dates before it looks for an authority: any will do.
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone().into_owned()).ok()?;
    let verifier =
        WebPkiServerVerifier::builder_with_provider(roots.into(), ring::default_provider().into()).build().ok()?;
    let name = ServerName::try_from("localhost").ok()?;
    match verifier.verify_server_cert(certificate, &[], &name, &[], now) {
        Err(Error::InvalidCertificate(
            reason @ (CertificateError::ExpiredContext { .. } | CertificateError::NotValidYetContext { .. }),
        )) => Some(reason),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
