//! A second tentacle, with a schedule and with its own rows, messages and objects in backing services.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use aws_sdk_s3::{
    Config,
    config::{BehaviorVersion, Credentials, Region},
    primitives::ByteStream,
};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use serde_json::{Value, json};
use tentacular_demo::backing;
use tentacular_test_harness::{
    mcp::Mcp,
    services::{Login, Postgres},
};

use crate::{
    schedule::EVERY_MINUTE,
    story::Story,
    world::{self, ENCLAVE, World},
};

/// The tentacle.
pub(crate) const NAME: &str = "ledger";

/// What a Secret says of one service.
type Fields = BTreeMap<String, String>;

/// Applies a tentacle that asks for all services that there are, and uses them with what it was given.
pub(super) async fn show(story: &mut Story, world: &World, ann: &Mcp) -> anyhow::Result<()> {
    let services = &world.services;
    let asked = services.dependencies();
    let arguments = json!({ "enclave": ENCLAVE, "name": NAME, "manifests": manifests(&asked)? });
    ann.call("wf_apply", arguments).await?;
    let asked = if asked.is_empty() { "no service, as there is none".to_owned() } else { asked.join(", ") };
    story.step(&format!("wf_apply makes a second one, {NAME}: schedule \"{EVERY_MINUTE}\", and it asks for {asked}"));

    let admin = world.stack.installation().control_plane().admin()?;
    let secret = Api::<Secret>::namespaced(admin, ENCLAVE).get_opt(&format!("tentacular-exoskeleton-{NAME}")).await?;
    let data = secret.and_then(|secret| secret.data).unwrap_or_default();
    let given = |service: &str| -> anyhow::Result<Fields> {
        let fields =
            data.iter().filter_map(|(key, value)| Some((key.strip_prefix(service)?.strip_prefix('.')?, value)));
        fields.map(|(key, value)| Ok((key.to_owned(), String::from_utf8(value.0.clone())?))).collect()
    };
    story.step(&match &services.postgres {
        Some(postgres) => rows(postgres, &given("tentacular-postgres")?).await?,
        None => "there is no PostgreSQL on this machine, so no rows".to_owned(),
    });
    story.step(&match &services.nats {
        Some(_) => messages(&given("tentacular-nats")?).await?,
        None => "there is no NATS on this machine, so no messages".to_owned(),
    });
    story.step(&match &services.minio {
        Some(_) => objects(&given("tentacular-rustfs")?).await?,
        None => "there is no MinIO on this machine, so no objects".to_owned(),
    });
    Ok(())
}

/// Removes it, and with it what it had of the services.
pub(super) async fn remove(story: &mut Story, ann: &Mcp) -> anyhow::Result<()> {
    let removed = ann.call("wf_remove", place()).await?;
    let services = removed["exo_cleanup_details"].as_str().unwrap_or("it had nothing else");
    story.step(&format!("wf_remove takes {NAME} away: {services}"));
    Ok(())
}

/// Where it is, as tools take it.
pub(crate) fn place() -> Value {
    json!({ "enclave": ENCLAVE, "name": NAME })
}

fn manifests(dependencies: &[&str]) -> anyhow::Result<Value> {
    let mut manifests = backing::manifests(&world::word_count()?, NAME, dependencies, 1)?;
    let mut all = manifests.as_array_mut().into_iter().flatten();
    let deployment = all.find(|manifest| manifest["kind"] == "Deployment").context("there is no Deployment")?;
    deployment["metadata"]["annotations"]["tentacular.io/cron-schedule"] = json!(EVERY_MINUTE);
    Ok(manifests)
}

fn field<'a>(given: &'a Fields, name: &str) -> anyhow::Result<&'a str> {
    given.get(name).map(String::as_str).with_context(|| format!("the tentacle was not given {name}"))
}

async fn rows(postgres: &Postgres, given: &Fields) -> anyhow::Result<String> {
    let text = |name| field(given, name).map(str::to_owned);
    let login = Login { user: text("user")?, password: text("password")?, database: text("database")? };
    let client = postgres.connect(&login).await?;
    client.batch_execute("CREATE TABLE words AS SELECT * FROM (VALUES ('one'), ('two')) AS t(word)").await?;
    let count: i64 = client.query_one("SELECT count(*) FROM words", &[]).await?.get(0);
    ensure!(count == 2, "the table has {count} rows");
    Ok(format!("with its own login it stores {count} rows in its PostgreSQL schema {}", text("schema")?))
}

async fn messages(given: &Fields) -> anyhow::Result<String> {
    let options = async_nats::ConnectOptions::with_credentials(field(given, "creds")?)?;
    let client = options.custom_inbox_prefix(field(given, "inbox_prefix")?).connect(field(given, "url")?).await?;
    let subjects = field(given, "subject_prefix")?;
    let mut heard = client.subscribe(subjects.to_owned()).await?;
    client.publish(subjects.replace('>', "words"), "one two".into()).await?;
    let message = heard.next().await.context("the subscription ended")?;
    Ok(format!("it hears its message on its NATS subject {}", message.subject))
}

async fn objects(given: &Fields) -> anyhow::Result<String> {
    let (key, secret) = (field(given, "access_key")?, field(given, "secret_key")?);
    let config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .credentials_provider(Credentials::new(key, secret, None, None, "tour"))
        .region(Region::new(field(given, "region")?.to_owned()))
        .endpoint_url(field(given, "endpoint")?)
        .force_path_style(true)
        .build();
    let (client, bucket) = (aws_sdk_s3::Client::from_conf(config), field(given, "bucket")?);
    let name = format!("{}words", field(given, "prefix")?);
    client.put_object().bucket(bucket).key(&name).body(ByteStream::from_static(b"one two")).send().await?;
    let read = client.get_object().bucket(bucket).key(&name).send().await?.body.collect().await?.into_bytes();
    ensure!(&*read == b"one two", "the object says something else");
    Ok(format!("it stores {} bytes in S3 as {bucket}/{name}", read.len()))
}
