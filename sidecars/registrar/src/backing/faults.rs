//! What goes wrong between the registrar and a real service, at each exchange of registering, renewing and removing: the answer
//! says that it may be tried again and no secret, what worked goes on working, and the repeat leaves nothing behind.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use clap::Parser as _;
use futures::future::join_all;
use tentacular_test_harness::{
    TcpFault, TcpProxy,
    services::{Access, Minio, Nats, Postgres, Versitygw},
};

use super::{
    BackingArgs, Rustfs,
    service::{Backend, Failure, WITHIN},
    share::{Fields, Share},
    tenant::Tenant,
};

mod cut;
mod held_up;

/// Longest that a call takes which nothing answers: its own deadline, and time for a loaded machine.
const ENDS: Duration = WITHIN.saturating_add(Duration::from_secs(30));

/// A service, and the registrar's straight way to it.
struct Place<Server> {
    straight: Box<dyn Backend>,
    /// Where it listens.
    addresses: Vec<SocketAddr>,
    /// The way to it at other addresses.
    to: Box<Way>,
    /// The administrator's.
    secrets: Vec<String>,
    /// Exchanges that are tried at the same time, each by a registrar and with a tentacle of its own.
    at_once: usize,
    server: Server,
}

/// How the registrar gets to a service that listens at these addresses.
type Way = dyn Fn(&[SocketAddr]) -> Box<dyn Backend>;

/// A way to the service that is disturbed.
struct Lane<'a, Server> {
    place: &'a Place<Server>,
    disturbed: Box<dyn Backend>,
    proxy: TcpProxy,
    /// For what else the service has.
    _beside: Vec<TcpProxy>,
}

#[derive(clap::Parser)]
struct Args {
    #[command(flatten)]
    backing: BackingArgs,
}

/// The arguments of all services, as they are given.
fn args(given: Vec<String>) -> BackingArgs {
    Args::parse_from(["registrar".to_owned()].into_iter().chain(given)).backing
}

async fn postgres() -> Option<Place<Postgres>> {
    let server = Postgres::start().await.unwrap()?;
    let administrator = server.administrator.clone();
    let (secrets, address) = (vec![administrator.password.clone()], server.server.address());
    let to = move |addresses: &[SocketAddr]| -> Box<dyn Backend> {
        let args = args(vec![
            format!("--postgres-host={}", addresses[0].ip()),
            format!("--postgres-port={}", addresses[0].port()),
            format!("--postgres-user={}", administrator.user),
            format!("--postgres-password={}", administrator.password),
        ]);
        Box::new(super::Postgres::from_args(args.postgres).unwrap().unwrap())
    };
    // Registrations wait for each other there, ten seconds at most.
    Some(Place { at_once: 4, ..Place::new(vec![address], to, secrets, server) })
}

async fn nats() -> Option<Place<Nats>> {
    let server = Nats::with_operator().await.unwrap()?;
    let Access::Operator(operator) = &server.access else { panic!("{server:?}") };
    let system = operator.system_user().unwrap();
    let (account, signing, key) =
        (operator.account(), operator.signing_seed().unwrap(), operator.operator_seed().unwrap());
    let creds = system.creds();
    let (secrets, address) = (vec![signing.clone(), key.clone(), system.seed], server.server.address());
    let to = move |addresses: &[SocketAddr]| -> Box<dyn Backend> {
        let args = args(vec![
            format!("--nats-url=nats://{}", addresses[0]),
            format!("--nats-account={account}"),
            format!("--nats-signing-key={signing}"),
            format!("--nats-operator-key={key}"),
            format!("--nats-system-creds={creds}"),
        ]);
        Box::new(super::nats::Nats::from_args(args.nats).unwrap().unwrap())
    };
    Some(Place::new(vec![address], to, secrets, server))
}

async fn minio() -> Option<Place<Minio>> {
    let server = Minio::start().await.unwrap()?;
    let key = [server.access_key.clone(), server.secret_key.clone()];
    let (secrets, address) = (vec![server.secret_key.clone()], server.server.address());
    Some(Place::new(vec![address], move |addresses| objects(addresses, &key), secrets, server))
}

async fn versitygw() -> Option<Place<Versitygw>> {
    let server = Versitygw::start().await.unwrap()?;
    let key = [server.access_key.clone(), server.secret_key.clone()];
    let (secrets, addresses) = (vec![server.secret_key.clone()], vec![server.s3.address(), server.iam.address()]);
    Some(Place::new(addresses, move |addresses| objects(addresses, &key), secrets, server))
}

/// A server of objects, with the API of AWS IAM where it has a second address.
fn objects(addresses: &[SocketAddr], [access_key, secret_key]: &[String; 2]) -> Box<dyn Backend> {
    let mut given = vec![
        format!("--rustfs-endpoint=http://{}", addresses[0]),
        format!("--rustfs-access-key={access_key}"),
        format!("--rustfs-secret-key={secret_key}"),
    ];
    given.extend(addresses.get(1).map(|address| format!("--rustfs-iam-endpoint=http://{address}")));
    Box::new(Rustfs::from_args(args(given).rustfs).unwrap().unwrap())
}

impl<Server> Place<Server> {
    fn new(
        addresses: Vec<SocketAddr>,
        to: impl Fn(&[SocketAddr]) -> Box<dyn Backend> + 'static,
        secrets: Vec<String>,
        server: Server,
    ) -> Self {
        Self { straight: to(&addresses), addresses, to: Box::new(to), secrets, at_once: 8, server }
    }

    fn lane(&self) -> Lane<'_, Server> {
        let proxy = TcpProxy::start(self.addresses[0]).unwrap();
        let beside: Vec<_> = self.addresses[1..].iter().map(|address| proxy.beside(*address).unwrap()).collect();
        let addresses: Vec<_> = [&proxy].into_iter().chain(&beside).map(TcpProxy::address).collect();
        Lane { place: self, disturbed: (self.to)(&addresses), proxy, _beside: beside }
    }

    /// Whether the service admits who has these fields.
    async fn admits(&self, tenant: &Tenant, fields: &Fields) -> bool {
        !self.straight.offer(tenant, fields, false).await.unwrap().fresh
    }

    /// Whose the service has something of.
    async fn holders(&self) -> Vec<Tenant> {
        let holders = self.straight.holders().await.unwrap();
        let mut tenants: Vec<_> = holders.into_iter().map(|holder| holder.tenant).collect();
        tenants.sort();
        tenants
    }

    /// What went wrong may be tried again, and is told without a secret.
    fn passes(&self, failure: &Failure, fields: &Fields) {
        let Failure::Unavailable(why) = failure else { panic!("it is refused for ever: {failure}") };
        assert!(!why.trim().is_empty());
        let own = ["password", "secret_key", "creds"].into_iter().filter_map(|name| fields.get(name));
        for secret in self.secrets.iter().chain(own) {
            assert!(!why.contains(secret.as_str()), "it tells a secret");
        }
    }
}

/// What the tenant is given, once that is made.
async fn given(backend: &dyn Backend, tenant: &Tenant, current: &Fields, renew: bool) -> Result<Share, Failure> {
    let mut share = backend.offer(tenant, current, renew).await?;
    backend.register(tenant, &mut share).await?;
    Ok(share)
}

fn tenant(tentacle: &str) -> Tenant {
    Tenant { enclave: "team-a".parse().unwrap(), tentacle: tentacle.parse().unwrap() }
}
