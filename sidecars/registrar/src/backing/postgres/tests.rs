//! On a real PostgreSQL.

use tentacular_test_harness::services;

use super::*;

mod administration;
mod isolated;
mod repeats;

/// A server, and the registrar's way to it.
struct World {
    postgres: Postgres,
    server: services::Postgres,
}

impl World {
    async fn start() -> Option<Self> {
        let server = services::Postgres::start().await.unwrap()?;
        Some(Self { postgres: of(&server, &[]), server })
    }

    /// What the tentacle is given, once that is made.
    async fn given(&self, tenant: &Tenant, current: &Fields) -> Share {
        let mut share = self.postgres.offer(tenant, current, false).await.unwrap();
        self.postgres.register(tenant, &mut share).await.unwrap();
        share
    }

    /// Connects with what the tentacle was given.
    async fn connect(&self, share: &Share) -> Result<Client, tokio_postgres::Error> {
        self.server.connect(&login(share)).await
    }

    async fn superuser(&self) -> Client {
        let database = self.server.administrator.database.clone();
        self.server.connect(&services::Login { database, ..self.server.superuser.clone() }).await.unwrap()
    }
}

fn login(share: &Share) -> services::Login {
    let field = |name| share.field(name).to_owned();
    services::Login { user: field("user"), password: field("password"), database: field("database") }
}

fn of(server: &services::Postgres, further: &[String]) -> Postgres {
    Postgres::from_args(args(server, further)).unwrap().unwrap()
}

fn args(server: &services::Postgres, further: &[String]) -> PostgresArgs {
    let (address, administrator) = (server.server.address(), &server.administrator);
    let given = [
        "registrar".to_owned(),
        format!("--postgres-host={}", address.ip()),
        format!("--postgres-port={}", address.port()),
        format!("--postgres-user={}", administrator.user),
        format!("--postgres-password={}", administrator.password),
    ];
    <Args as clap::Parser>::parse_from(given.iter().chain(further)).postgres
}

fn tenant(enclave: &str, tentacle: &str) -> Tenant {
    Tenant { enclave: enclave.parse().unwrap(), tentacle: tentacle.parse().unwrap() }
}

/// The arguments, as they are given.
#[derive(clap::Parser)]
struct Args {
    #[command(flatten)]
    postgres: PostgresArgs,
}

/// The SQLSTATE with which a statement is refused.
async fn refusal(client: &Client, statement: &str) -> String {
    let error = client.batch_execute(statement).await.expect_err(statement);
    error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned())
}
