//! Connections to the database, and what its errors mean.

use std::{fs, sync::Arc, time::Duration};

use anyhow::Context as _;
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tentacular_process::trust;
use tokio::time::timeout;
use tokio_postgres::{
    Client, Config, NoTls,
    error::{Error, SqlState},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::settings::{Login, PostgresArgs, SslMode};
use crate::backing::service::Failure;

/// Longest wait for a connection, until it is admitted.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest wait for one statement, and within it for a lock that somebody else holds. What a statement names is PostgreSQL's own: where
/// tentacles may make functions in a schema of everybody's, none is called in its place with the administrator's rights.
const OPTIONS: &str = "-c statement_timeout=20s -c lock_timeout=10s -c idle_in_transaction_session_timeout=30s \
                       -c search_path=pg_catalog";
/// How the administrator's connections are called in the server's own lists.
const APPLICATION: &str = "tentacular-registrar";

/// Why there is no connection.
pub(super) enum Unconnected {
    /// The server did not answer in time.
    Late,
    Failed(Error),
}

/// How connections are protected.
pub(super) struct Protection(Option<MakeRustlsConnect>);

impl Protection {
    /// By the arguments. Fails when the authorities' file cannot be read.
    pub(super) fn new(args: &PostgresArgs) -> anyhow::Result<Self> {
        if args.sslmode == SslMode::Disable {
            return Ok(Self(None));
        }
        let provider = Arc::new(ring::default_provider());
        let verifier = Verifier::new(args, Arc::clone(&provider))?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(Self(Some(MakeRustlsConnect::new(config))))
    }

    /// A connection, which ends when the client is dropped.
    pub(super) async fn connect(&self, login: &Login) -> Result<Client, Unconnected> {
        timeout(CONNECT, self.attempt(login)).await.map_err(|_| Unconnected::Late)?.map_err(Unconnected::Failed)
    }

    async fn attempt(&self, login: &Login) -> Result<Client, Error> {
        let mut config = Config::new();
        config
            .host(&login.host)
            .port(login.port)
            .dbname(&login.database)
            .user(&login.user)
            .password(&login.password.0)
            .application_name(APPLICATION)
            .options(OPTIONS);
        // What goes wrong with a connection its client is told.
        match &self.0 {
            None => {
                let (client, connection) = config.connect(NoTls).await?;
                tokio::spawn(connection);
                Ok(client)
            }
            Some(tls) => {
                config.ssl_mode(tokio_postgres::config::SslMode::Require);
                let (client, connection) = config.connect(tls.clone()).await?;
                tokio::spawn(connection);
                Ok(client)
            }
        }
    }
}

/// Judges the server's certificate as the mode says.
#[derive(Debug)]
struct Verifier {
    mode: SslMode,
    provider: Arc<CryptoProvider>,
    /// Absent where no authority is asked.
    web_pki: Option<Arc<WebPkiServerVerifier>>,
}

impl Verifier {
    fn new(args: &PostgresArgs, provider: Arc<CryptoProvider>) -> anyhow::Result<Self> {
        let mode = args.sslmode;
        let web_pki = if mode == SslMode::Require {
            None
        } else {
            let roots = match &args.ca_file {
                Some(path) => {
                    let named =
                        || format!("--postgres-ca-file (TENTACULAR_POSTGRES_CA_CERT_PATH) {}", path.display());
                    trust::authorities(&fs::read(path).with_context(named)?).with_context(named)?
                }
                None => trust::system_roots(),
            };
            Some(WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?)
        };
        Ok(Self { mode, provider, web_pki })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(web_pki) = &self.web_pki else { return Ok(ServerCertVerified::assertion()) };
        match web_pki.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(
                rustls::CertificateError::NotValidForName | rustls::CertificateError::NotValidForNameContext { .. },
            )) if self.mode == SslMode::VerifyCa => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl From<Unconnected> for Failure {
    fn from(why: Unconnected) -> Self {
        match why {
            Unconnected::Late => Self::Unavailable(format!("it did not answer within {} s", CONNECT.as_secs())),
            Unconnected::Failed(error) => error.into(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let Some(told) = error.as_db_error() else {
            // The causes say more than the error, and no credential is among them.
            let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
            let text = causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
            return Self::Unavailable(text);
        };
        // Connection exceptions, refused logins of the administrator, too little of something, and operator interventions
        // such as a shutdown pass.
        let passes = ["08", "28", "53", "57"].iter().any(|class| told.code().code().starts_with(class));
        if passes || *told.code() == SqlState::LOCK_NOT_AVAILABLE {
            Self::Unavailable(told.message().to_owned())
        } else {
            Self::Refused(told.message().to_owned())
        }
    }
}
