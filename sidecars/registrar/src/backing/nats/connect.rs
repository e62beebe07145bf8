//! Connections to the server, and what its errors mean.

use std::{path::PathBuf, time::Duration};

use async_nats::{
    Client, ConnectError, ConnectErrorKind, ConnectOptions, Event, Message, RequestError, RequestErrorKind,
    ServerAddr, ServerError,
};
use futures::StreamExt as _;
use tokio::{sync::watch, time::timeout};

use crate::backing::service::Failure;

/// Longest wait for a connection, until it is admitted.
const CONNECT: Duration = Duration::from_secs(10);
/// How the registrar's connections are called in the server's own lists.
const NAME: &str = "tentacular-registrar";
/// What is said of a request that was under way as the connection ended.
const LOST: &str = "the connection was lost";

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
    /// How it ended. The client makes another by itself, on which the answers to what was asked before do not come.
    ended: watch::Receiver<Option<End>>,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Refused,
    Lost,
}

impl Connection {
    /// What is answered; nothing where nobody answers for that subject. The error says why it is not known.
    pub(super) async fn request(&self, subject: String, payload: String) -> Result<Option<Message>, String> {
        let answer: Result<_, RequestError> = tokio::select! {
            answer = self.client.request(subject, payload.into()) => answer,
            _ = self.end() => return Err(LOST.to_owned()),
        };
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.kind() == RequestErrorKind::NoResponders => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Whether the server admitted the client, which may publish and subscribe to what is under its own prefix of inboxes.
    ///
    /// The client takes for a welcome whatever the server says first that is no error. That may be a PING, which comes after two
    /// seconds, also from a server that refuses the client only then. Who hears its own message is admitted.
    async fn is_admitted(&self) -> Result<bool, Failure> {
        let inbox = self.client.new_inbox();
        let echo = async {
            let mut heard = self.client.subscribe(inbox.clone()).await.ok()?;
            self.client.publish(inbox, "".into()).await.ok()?;
            heard.next().await
        };
        let end = tokio::select! {
            Some(_) = echo => return Ok(true),
            end = self.end() => end,
        };
        if end == End::Refused { Ok(false) } else { Err(Failure::Unavailable(LOST.to_owned())) }
    }

    /// Waits until it ends.
    async fn end(&self) -> End {
        let mut ended = self.ended.clone();
        let end = ended.wait_for(Option::is_some).await.ok().and_then(|end| *end);
        end.unwrap_or(End::Lost)
    }

    /// Id of the server that it was made to.
    pub(super) fn server_id(&self) -> String {
        self.client.server_info().server_id
    }
}

impl Server {
    /// A connection of the registrar's.
    pub(super) async fn connect(&self, admission: Admission<'_>) -> Result<Connection, Failure> {
        answered(self.attempt(admission, ConnectOptions::new())).await?.map_err(|error| unavailable(&error))
    }

    /// Whether it admits who has the text of a creds file, with this prefix of its inboxes.
    pub(super) async fn admits(&self, creds: &str, inbox_prefix: &str) -> Result<bool, Failure> {
        let options = ConnectOptions::new().custom_inbox_prefix(inbox_prefix);
        answered(async {
            match self.attempt(Admission::Creds(creds), options).await? {
                Ok(connection) => connection.is_admitted().await,
                Err(error) if error.kind() == ConnectErrorKind::AuthorizationViolation => Ok(false),
                Err(error) => Err(unavailable(&error)),
            }
        })
        .await
    }

    async fn attempt(
        &self,
        admission: Admission<'_>,
        options: ConnectOptions,
    ) -> Result<Result<Connection, ConnectError>, Failure> {
        let (teller, ended) = watch::channel(None);
        let mut options = options.name(NAME).connection_timeout(CONNECT).ignore_discovered_servers();
        // One that was ended, as by the removal of its account, would try for ever, also when nobody has it any more.
        options = options.max_reconnects(1).event_callback(move |event| {
            let end = match event {
                Event::ServerError(ServerError::AuthorizationViolation) => Some(End::Refused),
                Event::Disconnected => Some(End::Lost),
                _ => None,
            };
            // The first one is of this connection.
            teller.send_if_modified(|first| {
                let is_first = first.is_none() && end.is_some();
                *first = first.or(end);
                is_first
            });
            std::future::ready(())
        });
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
        let connected = Box::pin(options.connect(self.address.clone())).await;
        Ok(connected.map(|client| Connection { client, ended }))
    }
}

/// Gives up when the server does not answer.
async fn answered<T>(connecting: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let late = |_| Failure::Unavailable(format!("it did not answer within {} s", CONNECT.as_secs()));
    timeout(CONNECT, connecting).await.map_err(late)?
}

fn unavailable(error: &ConnectError) -> Failure {
    Failure::Unavailable(explained(error))
}

/// With its causes, which say more; no credential is among them.
fn explained(error: &ConnectError) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}
