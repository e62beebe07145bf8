//! Each service is the real one: it serves those whom it was told to, refuses others, and comes back with its data.

use async_nats::{ConnectErrorKind, ConnectOptions, jetstream};
use aws_sdk_s3::{
    config::{BehaviorVersion, Credentials, Region},
    error::ProvideErrorMetadata as _,
    primitives::ByteStream,
};
use futures::StreamExt as _;
use tentacular_test_harness::services::{Access, Login, Minio, Nats, Postgres, User, Versitygw};
use tokio_postgres::error::SqlState;

#[tokio::test]
async fn postgres_has_an_administrator_who_is_no_superuser_and_keeps_what_was_committed() {
    let Some(mut postgres) = Postgres::start().await.unwrap() else { return };
    let administrator = postgres.connect(&postgres.administrator).await.unwrap();
    let is_super = "SELECT rolsuper OR rolcreatedb OR rolbypassrls FROM pg_roles WHERE rolname = current_user";
    assert!(!administrator.query_one(is_super, &[]).await.unwrap().get::<_, bool>(0));
    administrator.batch_execute("CREATE ROLE somebody; CREATE TABLE kept AS SELECT 42 AS n").await.unwrap();
    postgres.server.kill().await.unwrap();
    assert!(postgres.connect(&postgres.administrator).await.unwrap_err().to_string().contains("connecting"));
    assert!(administrator.query_one("SELECT 1", &[]).await.is_err(), "its connection ended with it");
    postgres.server.restart().await.unwrap();
    let again = postgres.connect(&postgres.administrator).await.unwrap();
    assert_eq!(again.query_one("SELECT n FROM kept", &[]).await.unwrap().get::<_, i32>(0), 42);
    let stranger = Login { password: "wrong".to_owned(), ..postgres.administrator.clone() };
    let refused = postgres.connect(&stranger).await.unwrap_err();
    assert_eq!(refused.code(), Some(&SqlState::INVALID_PASSWORD));
    postgres.connect(&postgres.superuser).await.unwrap();
}

#[tokio::test]
async fn nats_admits_whoever_has_the_token() {
    let Some(nats) = Nats::with_token().await.unwrap() else { return };
    let Access::Token(token) = &nats.access else { panic!("{nats:?}") };
    let client =
        async_nats::connect_with_options(nats.url(), ConnectOptions::with_token(token.clone())).await.unwrap();
    let mut heard = client.subscribe("a.b").await.unwrap();
    client.publish("a.b", "hello".into()).await.unwrap();
    assert_eq!(heard.next().await.unwrap().payload, "hello");
    let error = async_nats::connect(nats.url()).await.unwrap_err();
    assert_eq!(error.kind(), ConnectErrorKind::AuthorizationViolation);
}

#[tokio::test]
async fn nats_admits_users_of_its_operators_account_and_keeps_their_streams() {
    let Some(mut nats) = Nats::with_operator().await.unwrap() else { return };
    let Access::Operator(operator) = &nats.access else { panic!("{nats:?}") };
    let everything = operator.user(&[">"]).unwrap();
    let client = connect(&nats, &everything).await.unwrap();
    let stream = jetstream::stream::Config { name: "S".into(), subjects: vec!["s.>".into()], ..Default::default() };
    let context = jetstream::new(client.clone());
    context.create_stream(stream).await.unwrap();
    context.publish("s.x", "kept".into()).await.unwrap().await.unwrap();
    let narrow = operator.user(&["mine.>", "_INBOX.>"]).unwrap();
    let narrow = connect(&nats, &narrow).await.unwrap();
    assert!(jetstream::new(narrow).get_stream("S").await.is_err(), "its subjects are not among the user's");
    connect(&nats, &operator.system_user().unwrap()).await.unwrap();
    // Signed by an account that the server's operator did not make.
    let other = Nats::with_operator().await.unwrap().unwrap();
    let Access::Operator(foreign) = &other.access else { panic!("{other:?}") };
    let error = connect(&nats, &foreign.user(&[">"]).unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ConnectErrorKind::AuthorizationViolation);
    nats.server.restart().await.unwrap();
    let client = connect(&nats, &everything).await.unwrap();
    let mut stream = jetstream::new(client).get_stream("S").await.unwrap();
    assert_eq!(stream.info().await.unwrap().state.messages, 1);
}

async fn connect(nats: &Nats, user: &User) -> Result<async_nats::Client, async_nats::ConnectError> {
    let key = std::sync::Arc::new(nkeys::KeyPair::from_seed(&user.seed).unwrap());
    let sign = move |nonce: Vec<u8>| {
        let key = std::sync::Arc::clone(&key);
        async move { key.sign(&nonce).map_err(async_nats::AuthError::new) }
    };
    async_nats::connect_with_options(nats.url(), ConnectOptions::with_jwt(user.jwt.clone(), sign)).await
}

#[tokio::test]
async fn minio_serves_its_administrator_alone_and_keeps_objects() {
    let Some(mut minio) = Minio::start().await.unwrap() else { return };
    let s3 = s3(&minio.endpoint(), &minio.access_key, &minio.secret_key);
    put(&s3).await;
    minio.server.kill().await.unwrap();
    minio.server.restart().await.unwrap();
    kept(&s3).await;
    refused(&self::s3(&minio.endpoint(), &minio.access_key, "wrong")).await;
}

#[tokio::test]
async fn versitygw_serves_its_administrator_alone_and_keeps_objects() {
    let Some(mut versitygw) = Versitygw::start().await.unwrap() else { return };
    let s3 = s3(&versitygw.endpoint(), &versitygw.access_key, &versitygw.secret_key);
    put(&s3).await;
    versitygw.s3.restart().await.unwrap();
    versitygw.iam.restart().await.unwrap();
    kept(&s3).await;
    refused(&self::s3(&versitygw.endpoint(), &versitygw.access_key, "wrong")).await;
}

fn s3(endpoint: &str, access_key: &str, secret_key: &str) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .credentials_provider(Credentials::new(access_key, secret_key, None, None, "test"))
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .build();
    aws_sdk_s3::Client::from_conf(config)
}

async fn put(s3: &aws_sdk_s3::Client) {
    s3.create_bucket().bucket("some").send().await.unwrap();
    s3.put_object().bucket("some").key("a/b").body(ByteStream::from_static(b"hello")).send().await.unwrap();
}

async fn kept(s3: &aws_sdk_s3::Client) {
    let object = s3.get_object().bucket("some").key("a/b").send().await.unwrap();
    assert_eq!(object.body.collect().await.unwrap().into_bytes(), "hello");
}

async fn refused(s3: &aws_sdk_s3::Client) {
    let error = s3.get_object().bucket("some").key("a/b").send().await.unwrap_err();
    assert_eq!(error.code(), Some("SignatureDoesNotMatch"));
}
