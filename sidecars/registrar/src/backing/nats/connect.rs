//! Connections to the server, and what its errors mean.

use std::{path::PathBuf, time::Duration};

use async_nats::{Client, ConnectError, ConnectErrorKind, ConnectOptions, ServerAddr};
use tokio::time::timeout;

use crate::backing::service::Failure;

/// Longest wait for a connection, until it is admitted.
const CONNECT: Duration = Duration::from_secs(10);
/// How the registrar's connections are called in the server's own lists.
const NAME: &str = "tentacular-registrar";

/// By what a client is admitted. It is a secret.
#[derive(Clone, Copy)]
pub(super) enum Admission<'a> {
    Token(&'a str),
    /// The text of a creds file.
    Creds(&'a str),
}

/// A server, and who vouches for its certificate where it has one.
pub(super) struct Server {
    pub(super) address: ServerAddr,
    /// A PEM file, instead of the system's authorities.
    pub(super) authorities: Option<PathBuf>,
}

impl Server {
    /// A connection, which ends when the client is dropped.
    pub(super) async fn connect(&self, admission: Admission<'_>) -> Result<Client, Failure> {
        self.attempt(admission).await?.map_err(|error| Failure::Unavailable(explained(&error)))
    }

    /// Whether it admits a client.
    pub(super) async fn admits(&self, admission: Admission<'_>) -> Result<bool, Failure> {
        match self.attempt(admission).await? {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ConnectErrorKind::AuthorizationViolation => Ok(false),
            Err(error) => Err(Failure::Unavailable(explained(&error))),
        }
    }

    async fn attempt(&self, admission: Admission<'_>) -> Result<Result<Client, ConnectError>, Failure> {
        let mut options = ConnectOptions::new().name(NAME).connection_timeout(CONNECT).ignore_discovered_servers();
        if let Some(authorities) = &self.authorities {
            options = options.add_root_certificates(authorities.clone());
        }
        let options = match admission {
            Admission::Token(token) => options.token(token.to_owned()),
            Admission::Creds(creds) => {
                let unreadable =
                    |_| Failure::Refused("what admits the registrar is no text of a creds file".to_owned());
                options.credentials(creds).map_err(unreadable)?
            }
        };
        let late = |_| Failure::Unavailable(format!("it did not answer within {} s", CONNECT.as_secs()));
        timeout(CONNECT, options.connect(self.address.clone())).await.map_err(late)
    }
}

/// With its causes, which say more; no credential is among them.
fn explained(error: &ConnectError) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}
