//! Services as a tentacle uses them, with what its pods read.

use std::collections::BTreeMap;

use anyhow::ensure;
use async_nats::{ConnectOptions, connection::State};
use aws_sdk_s3::{
    Config,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig},
    primitives::ByteStream,
};

/// What pods read of one service.
pub(super) type Fields = BTreeMap<String, String>;

/// A service, as a tentacle uses it.
pub(super) trait Used: Send + Sync + 'static {
    type Session: Send + 'static;
    /// What a contract calls it.
    const NAME: &'static str;
    /// The field that tells two credentials apart.
    const CREDENTIAL: &'static str;

    fn open(fields: &Fields) -> impl Future<Output = anyhow::Result<Self::Session>> + Send;
    fn write(session: &Self::Session) -> impl Future<Output = anyhow::Result<()>> + Send;
    /// Whether an open session is ended, once its credential is revoked.
    fn is_ended(session: &Self::Session) -> impl Future<Output = bool> + Send;
}

/// Of a database.
pub(super) struct Rows;

impl Used for Rows {
    type Session = tokio_postgres::Client;
    const NAME: &'static str = "tentacular-postgres: {protocol: postgresql}";
    const CREDENTIAL: &'static str = "user";

    async fn open(fields: &Fields) -> anyhow::Result<Self::Session> {
        let mut config = tokio_postgres::Config::new();
        config.host(&fields["host"]).port(fields["port"].parse()?).dbname(&fields["database"]);
        config.user(&fields["user"]).password(&fields["password"]);
        let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        client.batch_execute("CREATE TABLE IF NOT EXISTS kept (n int)").await?;
        Ok(client)
    }

    async fn write(session: &Self::Session) -> anyhow::Result<()> {
        session.execute("INSERT INTO kept VALUES (1)", &[]).await?;
        Ok(())
    }

    async fn is_ended(session: &Self::Session) -> bool {
        Self::write(session).await.is_err()
    }
}

/// Of NATS.
pub(super) struct Messages;

impl Used for Messages {
    type Session = (async_nats::Client, String);
    const NAME: &'static str = "tentacular-nats: {protocol: nats}";
    const CREDENTIAL: &'static str = "creds";

    async fn open(fields: &Fields) -> anyhow::Result<Self::Session> {
        let options =
            ConnectOptions::with_credentials(&fields["creds"])?.custom_inbox_prefix(&fields["inbox_prefix"]);
        let client = options.connect(fields["url"].as_str()).await?;
        Ok((client, fields["subject_prefix"].replace('>', "kept")))
    }

    async fn write((client, subject): &Self::Session) -> anyhow::Result<()> {
        client.publish(subject.clone(), "1".into()).await?;
        // A publication that is lost shows in a connection that is not there.
        client.flush().await?;
        ensure!(client.connection_state() == State::Connected, "the connection is lost");
        Ok(())
    }

    async fn is_ended((client, _): &Self::Session) -> bool {
        client.connection_state() != State::Connected
    }
}

/// Of S3.
pub(super) struct Objects;

impl Used for Objects {
    type Session = (aws_sdk_s3::Client, Fields);
    const NAME: &'static str = "tentacular-rustfs: {protocol: s3}";
    const CREDENTIAL: &'static str = "access_key";

    async fn open(fields: &Fields) -> anyhow::Result<Self::Session> {
        let config = Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .credentials_provider(Credentials::new(&fields["access_key"], &fields["secret_key"], None, None, "test"))
            .region(Region::new(fields["region"].clone()))
            .endpoint_url(&fields["endpoint"])
            .force_path_style(true)
            .retry_config(RetryConfig::disabled())
            .build();
        let session = (aws_sdk_s3::Client::from_conf(config), fields.clone());
        // It has no sessions: who connects shows by the first request who they are.
        Self::write(&session).await?;
        Ok(session)
    }

    async fn write((client, fields): &Self::Session) -> anyhow::Result<()> {
        let key = format!("{}kept", fields["prefix"]);
        let put = client.put_object().bucket(&fields["bucket"]).key(key).body(ByteStream::from_static(b"1"));
        put.send().await?;
        Ok(())
    }

    async fn is_ended(session: &Self::Session) -> bool {
        Self::write(session).await.is_err()
    }
}
