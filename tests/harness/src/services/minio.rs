//! A real MinIO: S3 with users and policies behind an admin API of its own.

use super::{
    daemon::{Daemon, answers},
    packages::GoPackage,
};
use crate::{
    Child, Program, Scratch,
    port::Port,
    stack::random_token,
    tls::{self, Authority},
};

pub(super) const MINIO: GoPackage =
    GoPackage { path: "github.com/minio/minio", version: "v0.0.0-20260212201848-7aac2a2c5b7c", takes: "3 minutes" };

/// A request that is signed by nobody. It is refused as soon as the server knows its users, a while after its own health check
/// says that it is ready; until then it fails.
const STRANGER: &str = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=nobody/20260101/us-east-1/s3/aws4_request\
                        &X-Amz-Date=20260101T000000Z&X-Amz-Expires=1&X-Amz-SignedHeaders=host&X-Amz-Signature=0";

/// A running MinIO without buckets.
#[derive(Debug)]
pub struct Minio {
    /// The server.
    pub server: Daemon,
    /// Access key of the administrator.
    pub access_key: String,
    /// Secret key of the administrator.
    pub secret_key: String,
    scheme: &'static str,
    _folder: Scratch,
}

impl Minio {
    /// Starts one; the first time ever it is built. None, with a printed reason, where it cannot be built.
    pub async fn start() -> anyhow::Result<Option<Self>> {
        Self::start_with(None).await
    }

    /// The same behind TLS, with a certificate of that authority.
    pub async fn start_with(authority: Option<&Authority>) -> anyhow::Result<Option<Self>> {
        let Some(minio) = MINIO.program().await? else { return Ok(None) };
        let folder = Scratch::new()?;
        let certificates = folder.path().join("certificates");
        std::fs::create_dir(&certificates)?;
        let (scheme, http) = match authority {
            None => ("http", tls::plain()),
            Some(authority) => {
                let pair = authority.server()?;
                std::fs::write(certificates.join("public.crt"), pair.certificate)?;
                std::fs::write(certificates.join("private.key"), pair.key)?;
                ("https", authority.client(&[])?)
            }
        };
        let (access_key, secret_key) = (random_token()?, random_token()?);
        let port = Port::reserve()?;
        let address = port.address();
        let program = Program::new(minio)
            .args(["server", "--quiet", "--certs-dir"])
            .arg(certificates)
            .arg("--address")
            .arg(address.to_string())
            .arg(folder.path().join("data"))
            .env("HOME", folder.path())
            .env("MINIO_ROOT_USER", &access_key)
            .env("MINIO_ROOT_PASSWORD", &secret_key)
            .env("MINIO_BROWSER", "off")
            // It asks nobody for a newer version.
            .env("MINIO_UPDATE", "off");
        let ready = answers(http, format!("{scheme}://{address}/?{STRANGER}"))?;
        let server = Daemon::start(program, port, folder.path().join("minio.log"), (ready, Child::kill)).await?;
        Ok(Some(Self { server, access_key, secret_key, scheme, _folder: folder }))
    }

    /// Where it serves S3 and its admin API.
    pub fn endpoint(&self) -> String {
        format!("{}://{}", self.scheme, self.server.address())
    }
}
