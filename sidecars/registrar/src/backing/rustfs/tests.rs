//! On a real MinIO, and on a real versitygw, whose users are behind the API of AWS IAM.

use anyhow::Context as _;
use aws_sdk_s3::{Client, error::SdkError, primitives::ByteStream};
use futures::future::join_all;
use tentacular_test_harness::{
    services::{Minio, Versitygw},
    until,
};

use super::{
    admin::{BUILT_IN, users},
    *,
};

mod administration;
mod isolated;
mod keys;
mod listed;
mod repeats;

/// A server, and the registrar's way to it.
struct World<Server = Minio> {
    rustfs: Rustfs,
    server: Server,
}

impl World {
    async fn start() -> Option<Self> {
        let server = Minio::start().await.unwrap()?;
        let world = Self { rustfs: of(&server, &[]), server };
        // While it still reads what it has of policies, it may forget one that is written. Its own are there once it has read.
        let server = world.rustfs.args.server().unwrap();
        let admin = world.admin(&server);
        until("MinIO knows its policies", || async {
            let known = admin.policy(BUILT_IN).await.map_err(|failure| anyhow::anyhow!("{failure:?}"))?;
            known.context("none of that name")
        })
        .await
        .unwrap();
        Some(world)
    }

    /// The admin API, as the administrator who is named there.
    fn admin<'a>(&'a self, server: &'a Server) -> Admin<'a> {
        Admin { http: &self.rustfs.connections.admin, server, dialect: Dialect::Minio }
    }
}

impl World<Versitygw> {
    async fn with_iam() -> Option<Self> {
        let server = Versitygw::start().await.unwrap()?;
        let given = [
            "registrar".to_owned(),
            format!("--rustfs-endpoint={}", server.endpoint()),
            format!("--rustfs-iam-endpoint={}", server.iam_endpoint()),
            format!("--rustfs-access-key={}", server.access_key),
            format!("--rustfs-secret-key={}", server.secret_key),
        ];
        let args = <Args as clap::Parser>::parse_from(given).rustfs;
        Some(Self { rustfs: Rustfs::from_args(args).unwrap().unwrap(), server })
    }
}

impl<Server> World<Server> {
    /// What the tentacle is given, once that is made.
    async fn given(&self, tenant: &Tenant, current: &Fields) -> Share {
        let mut share = self.rustfs.offer(tenant, current, false).await.unwrap();
        self.rustfs.register(tenant, &mut share).await.unwrap();
        share
    }

    async fn unregister(&self, tenant: &Tenant) -> Result<Option<&'static str>, Failure> {
        self.rustfs.unregister(tenant, &Fields::new()).await
    }

    /// A client with what the tentacle was given.
    fn client(&self, share: &Share) -> Client {
        let key =
            Key { id: share.field("access_key").to_owned(), secret: Password(share.field("secret_key").to_owned()) };
        self.rustfs.connections.s3(&self.rustfs.args.server().unwrap(), &key)
    }

    fn administrator(&self) -> Client {
        let server = self.rustfs.args.server().unwrap();
        self.rustfs.connections.s3(&server, &server.administrator)
    }
}

fn of(server: &Minio, further: &[String]) -> Rustfs {
    let given = [
        "registrar".to_owned(),
        format!("--rustfs-endpoint={}", server.endpoint()),
        format!("--rustfs-access-key={}", server.access_key),
        format!("--rustfs-secret-key={}", server.secret_key),
    ];
    let args = <Args as clap::Parser>::parse_from(given.iter().chain(further)).rustfs;
    Rustfs::from_args(args).unwrap().unwrap()
}

fn tenant(enclave: &str, tentacle: &str) -> Tenant {
    Tenant { enclave: enclave.parse().unwrap(), tentacle: tentacle.parse().unwrap() }
}

/// The arguments, as they are given.
#[derive(clap::Parser)]
struct Args {
    #[command(flatten)]
    rustfs: RustfsArgs,
}

async fn put(client: &Client, key: &str) -> Result<(), Option<String>> {
    code(client.put_object().bucket("tentacular").key(key).body(ByteStream::from_static(b"word")).send().await)
}

async fn get(client: &Client, key: &str) -> Result<(), Option<String>> {
    code(client.get_object().bucket("tentacular").key(key).send().await)
}

/// The code with which a call is refused, or its status, as an answer to HEAD has no code.
fn code<T, E: aws_sdk_s3::error::ProvideErrorMetadata>(result: Result<T, SdkError<E>>) -> Result<(), Option<String>> {
    let status = |error: &SdkError<E>| error.raw_response().map(|answer| answer.status().as_u16().to_string());
    result.map(drop).map_err(|error| error.code().map(str::to_owned).or_else(|| status(&error)))
}
