//! On a real NATS server.

use std::time::Duration;

use async_nats::{
    Client, ConnectError, ConnectOptions, Event, Subscriber,
    jetstream::{Context, context::ContextBuilder},
};
use futures::StreamExt as _;
use tentacular_test_harness::services::{self, Access, Operator, refuses};
use tokio::{sync::mpsc, time::timeout};

use super::{jwt::Signer, *};

mod administration;
mod isolated;
mod kept_streams;
mod moves;
mod own_account;
mod own_streams;
mod repeats;

/// Only what hangs takes that long.
const HANGS: Duration = Duration::from_mins(2);
/// Gives tentacles streams, each a MiB.
const STREAMS: &str = "--nats-jetstream-disk-mib=1";

/// A server with an operator, and the registrar's way to it.
struct World {
    nats: Nats,
    server: services::Nats,
}

impl World {
    /// With everything that the registrar needs to make accounts.
    async fn start() -> Option<Self> {
        Self::start_with(&[]).await
    }

    /// The same with further arguments.
    async fn start_with(further: &[&str]) -> Option<Self> {
        Some(Self::start_on(services::Nats::with_operator().await.unwrap()?, further))
    }

    fn start_on(server: services::Nats, further: &[&str]) -> Self {
        Self { nats: with_accounts(&server, further), server }
    }

    /// What the tentacle is given, once that is made.
    async fn given(&self, tenant: &Tenant, current: &Fields) -> Share {
        let mut share = self.nats.offer(tenant, current, false).await.unwrap();
        self.nats.register(tenant, &mut share).await.unwrap();
        share
    }

    async fn connect(&self, share: &Share) -> Result<Tentacle, ConnectError> {
        connect_as(&self.server, share).await
    }

    async fn is_refused(&self, share: &Share) -> bool {
        refuses(async || Ok(self.connect(share).await?.client)).await.unwrap()
    }
}

fn operator(server: &services::Nats) -> &Operator {
    let Access::Operator(operator) = &server.access else { panic!("{server:?}") };
    operator
}

/// As a registrar that makes accounts.
fn with_accounts(server: &services::Nats, further: &[&str]) -> Nats {
    let operator = operator(server);
    let system = operator.system_user().unwrap();
    let authority = [
        format!("--nats-operator-key={}", operator.operator_seed().unwrap()),
        format!("--nats-system-creds={}", system.creds()),
    ];
    let further = further.iter().map(|argument| (*argument).to_owned());
    of(server, &authority.into_iter().chain(further).collect::<Vec<_>>())
}

/// As a registrar that makes users and can revoke none, unless `further` arguments let it.
fn of(server: &services::Nats, further: &[String]) -> Nats {
    let operator = operator(server);
    let given = [
        format!("--nats-url={}", server.url()),
        format!("--nats-account={}", operator.account()),
        format!("--nats-signing-key={}", operator.signing_seed().unwrap()),
    ];
    from(&[&given[..], further].concat()).unwrap().unwrap()
}

fn from(given: &[impl AsRef<str>]) -> anyhow::Result<Option<Nats>> {
    Nats::from_args(parsed(given))
}

fn parsed(given: &[impl AsRef<str>]) -> NatsArgs {
    let given = given.iter().map(AsRef::as_ref);
    <Args as clap::Parser>::parse_from(std::iter::once("registrar").chain(given)).nats
}

/// The arguments, as they are given.
#[derive(clap::Parser)]
struct Args {
    #[command(flatten)]
    nats: NatsArgs,
}

fn tenant(enclave: &str, tentacle: &str) -> Tenant {
    Tenant { enclave: enclave.parse().unwrap(), tentacle: tentacle.parse().unwrap() }
}

/// A client that uses what it was given as a tentacle does, and hears what the server objects to.
struct Tentacle {
    client: Client,
    events: mpsc::UnboundedReceiver<Event>,
    prefix: String,
}

async fn connect_as(server: &services::Nats, share: &Share) -> Result<Tentacle, ConnectError> {
    let (heard, events) = mpsc::unbounded_channel();
    let options = match share.field("auth_method") {
        "token" => ConnectOptions::with_token(share.field("token").to_owned()),
        _ => ConnectOptions::with_credentials(share.field("creds"))
            .unwrap()
            .custom_inbox_prefix(share.field("inbox_prefix")),
    };
    let options = options.connection_timeout(HANGS).request_timeout(Some(HANGS)).event_callback(move |event| {
        // Nobody has to listen.
        drop(heard.send(event));
        std::future::ready(())
    });
    assert_eq!(share.field("url"), server.url());
    let client = options.connect(share.field("url")).await?;
    let prefix = share.field("subject_prefix").strip_suffix('>').unwrap().to_owned();
    Ok(Tentacle { client, events, prefix })
}

impl Tentacle {
    fn jetstream(&self) -> Context {
        ContextBuilder::new().timeout(HANGS).ack_timeout(HANGS).build(self.client.clone())
    }

    fn own(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Everything of its own, when the server knows that it listens.
    async fn all(&mut self) -> Subscriber {
        let mut all = self.client.subscribe(self.own(">")).await.unwrap();
        self.client.publish(self.own("begin"), "".into()).await.unwrap();
        assert_eq!(next(&mut all).await.unwrap().0, self.own("begin"));
        all
    }

    /// What the server objects to next.
    async fn objection(&mut self) -> String {
        loop {
            match timeout(HANGS, self.events.recv()).await.expect("the server objects to nothing") {
                Some(Event::ServerError(error)) => return error.to_string(),
                Some(_) => {}
                None => panic!("the connection ended"),
            }
        }
    }

    /// Waits until the server ends the connection.
    async fn ends(&mut self) {
        while !matches!(
            timeout(HANGS, self.events.recv()).await.expect("it goes on"),
            Some(Event::Disconnected) | None
        ) {}
    }
}

/// Subject and text of the next message.
async fn next(subscriber: &mut Subscriber) -> Option<(String, String)> {
    let message = timeout(HANGS, subscriber.next()).await.expect("no message comes")?;
    Some((message.subject.to_string(), String::from_utf8(message.payload.to_vec()).unwrap()))
}
