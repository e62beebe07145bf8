//! Connections to the server, and what its errors mean.

use std::{path::PathBuf, time::Duration};

use async_nats::{
    Client, ConnectError, ConnectErrorKind, ConnectOptions, Event, Message, RequestError, RequestErrorKind,
    ServerAddr,
};
use tokio::{sync::watch, time::timeout};

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

/// A connection, which ends when it is dropped.
pub(super) struct Connection {
    client: Client,
    /// Whether it was lost. The client makes another by itself, on which the answers to what was asked before do not come.
    lost: watch::Receiver<bool>,
}

impl Connection {
    /// What is answered; nothing where nobody answers for that subject. The error says why it is not known.
    pub(super) async fn request(&self, subject: String, payload: String) -> Result<Option<Message>, String> {
        let mut lost = self.lost.clone();
        let answer: Result<_, RequestError> = tokio::select! {
            answer = self.client.request(subject, payload.into()) => answer,
            _ = lost.wait_for(|lost| *lost) => return Err("the connection was lost".to_owned()),
        };
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.kind() == RequestErrorKind::NoResponders => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Id of the server that it was made to.
    pub(super) fn server_id(&self) -> String {
        self.client.server_info().server_id
    }
}

impl Server {
    /// A connection of the registrar's.
    pub(super) async fn connect(&self, admission: Admission<'_>) -> Result<Connection, Failure> {
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

    async fn attempt(&self, admission: Admission<'_>) -> Result<Result<Connection, ConnectError>, Failure> {
        let (teller, lost) = watch::channel(false);
        let mut options =
            ConnectOptions::new().name(NAME).connection_timeout(CONNECT).ignore_discovered_servers().event_callback(
                move |event| {
                    if event == Event::Disconnected {
                        teller.send_replace(true);
                    }
                    std::future::ready(())
                },
            );
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
        let connected = timeout(CONNECT, options.connect(self.address.clone())).await.map_err(late)?;
        Ok(connected.map(|client| Connection { client, lost }))
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
