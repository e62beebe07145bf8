//! A server that knows its clients by the identities in their certificates (SPIFFE), and its list of users, which others write.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::ensure;
use serde_json::json;
use tokio::time::sleep;

use super::{Access, Nats};
use crate::tls::{Authority, Pair};

/// The file with the list of users, which is part of the server's configuration.
const USERS: &str = "authorization.conf";
/// The authority of the clients' certificates, which is the server's too.
const CLIENTS: &str = "clients.crt";
/// What the server logs when it has read its configuration again, and when it cannot.
const RELOADED: &str = "Reloaded server configuration";
const NOT_RELOADED: &str = "Failed to reload server configuration";
/// Only what hangs takes that long.
const HANGS: Duration = Duration::from_mins(2);

impl Nats {
    /// Starts one whose clients need a certificate, by which it knows them, with an empty list of users. None, with a printed
    /// reason, where there is no way to fetch it.
    pub async fn with_certificates() -> anyhow::Result<Option<Self>> {
        // Paths are those in the server's folder.
        let tls = json!({ "cert_file": "server.crt", "key_file": "server.key", "ca_file": CLIENTS, "verify_and_map": true });
        Self::start(&json!({ "tls": tls, "allow_non_tls": false }), Access::Certificates).await
    }

    /// A client's certificate with this identity, a URI.
    pub fn certificate(&self, identity: &str) -> anyhow::Result<Pair> {
        self.authority.identity(identity)
    }

    /// Replaces the file with the list of users, and has the server read it. Fails where the server refuses it.
    pub async fn set_users(&self, file: &str) -> anyhow::Result<()> {
        std::fs::write(self.folder.path().join(USERS), file)?;
        let before = self.server.log()?.matches(RELOADED).count();
        self.server.reload()?;
        let until = Instant::now() + HANGS;
        loop {
            let log = self.server.log()?;
            if log.matches(RELOADED).count() > before {
                return Ok(());
            }
            ensure!(!log.contains(NOT_RELOADED), "the server refuses\n{file}\n{log}");
            ensure!(Instant::now() < until, "the server does not read its configuration again:\n{log}");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Puts into the server's folder what it needs to know clients by their certificates. Returns what its configuration begins with.
pub(super) fn prepare(folder: &Path, access: &Access, authority: &Authority) -> anyhow::Result<String> {
    if !matches!(access, Access::Certificates) {
        return Ok(String::new());
    }
    std::fs::write(folder.join(CLIENTS), authority.pem())?;
    std::fs::write(folder.join(USERS), "authorization { users = [] }\n")?;
    Ok(format!("include {USERS}\n"))
}
