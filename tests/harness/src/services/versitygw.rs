//! A real versitygw: S3 with users behind the API of AWS IAM.

use std::net::SocketAddr;

use super::{
    daemon::{Daemon, answers},
    packages::GoPackage,
};
use crate::{Child, Program, Scratch, port::Port, stack::random_token, tls};

pub(super) const VERSITYGW: GoPackage =
    GoPackage { path: "github.com/versity/versitygw/cmd/versitygw", version: "v1.8.0", takes: "a minute" };

/// A running versitygw without buckets, of two processes.
#[derive(Debug)]
pub struct Versitygw {
    /// Serves S3.
    pub s3: Daemon,
    /// Serves the users.
    pub iam: Daemon,
    /// Access key of the administrator.
    pub access_key: String,
    /// Secret key of the administrator.
    pub secret_key: String,
    _folder: Scratch,
}

impl Versitygw {
    /// Starts one; the first time ever it is built. None, with a printed reason, where it cannot be built.
    pub async fn start() -> anyhow::Result<Option<Self>> {
        let Some(versitygw) = VERSITYGW.program().await? else { return Ok(None) };
        let folder = Scratch::new()?;
        let (access_key, secret_key) = (random_token()?, random_token()?);
        let program = Program::new(versitygw)
            .directory(folder.path())
            .env("HOME", folder.path())
            .env("ROOT_ACCESS_KEY", &access_key)
            .env("ROOT_SECRET_KEY", &secret_key);
        for folder in ["iam", "data"].map(|name| folder.path().join(name)) {
            std::fs::create_dir(folder)?;
        }
        // Serving files it changes its folder.
        let socket = folder.path().join("iam.sock");
        let port = Port::reserve()?;
        let listen = format!("--port={}", port.address());
        let users = program.clone().args(["-q", &listen, "iam", "--dir=iam", "--private-socket-perm=0600"]);
        let users = users.arg("--private-ports").arg(&socket);
        let ready = answers(tls::plain(), endpoint(port.address()))?;
        let iam = Daemon::start(users, port, folder.path().join("iam.log"), (ready, Child::kill)).await?;
        let port = Port::reserve()?;
        let listen = format!("--port={}", port.address());
        let data = program.args(["-q", &listen, "--iam-cache-disable", "--iam-standalone-endpoint"]);
        let data = data.arg(socket).args(["posix", "data"]);
        let ready = answers(tls::plain(), endpoint(port.address()))?;
        let s3 = Daemon::start(data, port, folder.path().join("s3.log"), (ready, Child::kill)).await?;
        Ok(Some(Self { s3, iam, access_key, secret_key, _folder: folder }))
    }

    /// Where it serves S3.
    pub fn endpoint(&self) -> String {
        endpoint(self.s3.address())
    }

    /// Where it serves the API of AWS IAM.
    pub fn iam_endpoint(&self) -> String {
        endpoint(self.iam.address())
    }
}

fn endpoint(address: SocketAddr) -> String {
    format!("http://{address}")
}
