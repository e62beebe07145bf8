//! What an apply gives a tentacle of a real S3 server, whoever chooses the key: the registrar with MinIO, the server with AWS IAM.

use aws_sdk_s3::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region},
    primitives::ByteStream,
};
use serde_json::{Value, json};
use tentacular_test_harness::services::{Minio, Versitygw};

use crate::{
    backing::{call, enclave_of_rob, secret},
    world::{World, person},
};

/// A contract that asks for objects.
const WORKFLOW: &str = "name: report\ncontract:\n  dependencies:\n    tentacular-rustfs: {protocol: s3}\n";

#[tokio::test]
async fn a_tentacle_that_asks_for_objects_finds_them_with_the_key_it_is_given() {
    let Some(minio) = Minio::start().await.unwrap() else { return };
    let keys = [format!("access-key={}", minio.access_key), format!("secret-key={}", minio.secret_key)];
    life(&[&[format!("endpoint={}", minio.endpoint())], &keys[..]].concat()).await;
}

#[tokio::test]
async fn a_tentacle_finds_its_objects_with_a_key_that_the_server_chose() {
    let Some(versitygw) = Versitygw::start().await.unwrap() else { return };
    let keys = [format!("access-key={}", versitygw.access_key), format!("secret-key={}", versitygw.secret_key)];
    let urls = [format!("endpoint={}", versitygw.endpoint()), format!("iam-endpoint={}", versitygw.iam_endpoint())];
    life(&[urls, keys].concat()).await;
}

/// From the first apply to the removal, with a rotation.
async fn life(settings: &[String]) {
    let switches = ["--exoskeleton=true", "--exoskeleton-cleanup=true"].map(str::to_owned);
    let settings = settings.iter().map(|setting| format!("--rustfs-{setting}"));
    let world = World::start_with(None, &switches.into_iter().chain(settings).collect::<Vec<_>>()).await.unwrap();
    let enclave = enclave_of_rob(&world, "objects").await;
    let rob = person("rob@x.io");
    let mut first = call(&enclave, "report", WORKFLOW);
    first["wait_seconds"] = json!(120);
    let applied = world.call(&rob, "wf_apply", first.clone()).await.unwrap();
    assert_eq!((&applied["created"], &applied["rollout"]["ready"]), (&json!(5), &json!(true)), "{applied}");
    let former = given(&world, &enclave).await;
    let key = format!("ns/{enclave}/tentacles/report/mine");
    let put = former.put_object().bucket("tentacular").key(&key).body(ByteStream::from_static(b"word"));
    put.send().await.unwrap();

    let again = world.call(&rob, "wf_apply", first.clone()).await.unwrap();
    assert_eq!((&again["unchanged"], &again["updated"]), (&json!(5), &json!(0)), "{again}");

    first["rotate_credentials"] = json!(true);
    let applied = world.call(&rob, "wf_apply", first).await.unwrap();
    assert_eq!((&applied["rollout"]["ready"], &applied["warnings"]), (&json!(true), &json!([])), "{applied}");
    let renewed = given(&world, &enclave).await;
    renewed.get_object().bucket("tentacular").key(&key).send().await.unwrap();
    assert!(former.get_object().bucket("tentacular").key(&key).send().await.is_err());

    let removed = world.call(&rob, "wf_remove", json!({ "enclave": enclave, "name": "report" })).await.unwrap();
    assert_eq!(removed["exo_cleanup_details"], "rustfs user removed", "{removed}");
    assert!(renewed.get_object().bucket("tentacular").key(&key).send().await.is_err());
}

/// A client with what both of the tentacle's Secrets say.
async fn given(world: &World, enclave: &str) -> Client {
    let flat = secret(world, enclave, "tentacular-exoskeleton-report").await.unwrap();
    let field = |name: &str| flat[&format!("tentacular-rustfs.{name}")].clone();
    let read: Value =
        serde_json::from_str(&secret(world, enclave, "report-secrets").await.unwrap()["tentacular-rustfs"]).unwrap();
    for name in ["protocol", "endpoint", "access_key", "secret_key", "bucket", "prefix", "region"] {
        assert_eq!(read[name], field(name), "{name}");
    }
    let config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .credentials_provider(Credentials::new(field("access_key"), field("secret_key"), None, None, "test"))
        .region(Region::new(field("region")))
        .endpoint_url(field("endpoint"))
        .force_path_style(true)
        .build();
    Client::from_conf(config)
}
