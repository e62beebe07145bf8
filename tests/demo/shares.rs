//! The part of the tour about backing services: a tentacle's own rows, messages and objects.

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
use tentacular_demo::{
    backing::{Services, manifests},
    say,
};
use tentacular_test_harness::{
    Stack,
    mcp::Mcp,
    services::{Login, Postgres},
};

/// The tentacle that has them.
const TENTACLE: &str = "ledger";

/// What a Secret says of one service.
type Fields = BTreeMap<String, String>;

/// Applies a tentacle that asks for all services that there are, and uses them with what it was given.
pub(super) async fn show(
    stack: &Stack,
    mcp: &Mcp,
    (enclave, example): (&str, &Value),
    services: &Services,
) -> anyhow::Result<()> {
    let asked = services.dependencies();
    let manifests = manifests(example, TENTACLE, &asked, 1)?;
    mcp.call("wf_apply", json!({ "enclave": enclave, "name": TENTACLE, "manifests": manifests })).await?;
    say(&format!("10. wf_apply creates tentacle {TENTACLE}, which asks for {}", asked.join(", ")));
    let admin = stack.installation().control_plane().admin()?;
    let secret = Api::<Secret>::namespaced(admin, enclave).get(&format!("tentacular-exoskeleton-{TENTACLE}")).await?;
    let given = |service: &str| -> anyhow::Result<Fields> {
        let data = secret.data.iter().flatten();
        let fields = data.filter_map(|(key, value)| Some((key.strip_prefix(service)?.strip_prefix('.')?, value)));
        fields.map(|(key, value)| Ok((key.to_owned(), String::from_utf8(value.0.clone())?))).collect()
    };
    match &services.postgres {
        Some(postgres) => rows(postgres, &given("tentacular-postgres")?).await?,
        None => say("11. there is no PostgreSQL on this machine, so no rows"),
    }
    match &services.nats {
        Some(_) => messages(&given("tentacular-nats")?).await?,
        None => say("12. there is no NATS on this machine, so no messages"),
    }
    match &services.minio {
        Some(_) => objects(&given("tentacular-rustfs")?).await?,
        None => say("13. there is no MinIO on this machine, so no objects"),
    }
    let removed = mcp.call("wf_remove", json!({ "enclave": enclave, "name": TENTACLE })).await?;
    say(&format!("14. wf_remove takes that away too: {}", removed["exo_cleanup_details"]));
    Ok(())
}

fn field<'a>(given: &'a Fields, name: &str) -> anyhow::Result<&'a str> {
    given.get(name).map(String::as_str).with_context(|| format!("the tentacle was not given {name}"))
}

async fn rows(postgres: &Postgres, given: &Fields) -> anyhow::Result<()> {
    let text = |name| field(given, name).map(str::to_owned);
    let login = Login { user: text("user")?, password: text("password")?, database: text("database")? };
    let client = postgres.connect(&login).await?;
    client.batch_execute("CREATE TABLE words AS SELECT * FROM (VALUES ('one'), ('two')) AS t(word)").await?;
    let count: i64 = client.query_one("SELECT count(*) FROM words", &[]).await?.get(0);
    ensure!(count == 2, "the table has {count} rows");
    say(&format!("11. it stores {count} rows in its schema {}", text("schema")?));
    Ok(())
}

async fn messages(given: &Fields) -> anyhow::Result<()> {
    let options = async_nats::ConnectOptions::with_credentials(field(given, "creds")?)?;
    let client = options.custom_inbox_prefix(field(given, "inbox_prefix")?).connect(field(given, "url")?).await?;
    let subjects = field(given, "subject_prefix")?;
    let mut heard = client.subscribe(subjects.to_owned()).await?;
    client.publish(subjects.replace('>', "words"), "one two".into()).await?;
    let message = heard.next().await.context("the subscription ended")?;
    say(&format!("12. it hears its message on {}", message.subject));
    Ok(())
}

async fn objects(given: &Fields) -> anyhow::Result<()> {
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
    say(&format!("13. it stores {} bytes as {bucket}/{name}", read.len()));
    Ok(())
}
