//! Credentials that the server renews and revokes by itself, whoever called for that and whichever registrar began it.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Secret},
};
use serde_json::{Value, json};
use tentacular_contract::keys;
use tentacular_test_harness::services::{Nats, Postgres};

use crate::{
    backing::{WORKFLOW, call, enclave_of_rob, login, secret, world},
    permission::annotate,
    rotating::nats_args,
    world::{World, person, until},
};

const SECRET: &str = "tentacular-exoskeleton-report";
/// Longer ago than credentials are not looked at, and than they may become old here.
const LONG_AGO: &str = r#"{"postgres":{"since":"2026-01-01T00:00:00Z"},"nats":{"since":"2026-01-01T00:00:00Z"}}"#;

/// What is recorded of the tentacle's credentials.
async fn record(world: &World, enclave: &str) -> Value {
    let found = world.admin.namespaced::<Secret>(enclave).get(SECRET).await.unwrap().unwrap();
    let annotations = found.metadata.annotations.unwrap_or_default();
    serde_json::from_str(&annotations[keys::CREDENTIALS]).unwrap()
}

/// Makes its credentials old.
async fn age(world: &World, enclave: &str) {
    let patch = json!({ "metadata": { "annotations": { keys::CREDENTIALS: LONG_AGO } } });
    world.admin.namespaced::<Secret>(enclave).patch(SECRET, &patch).await.unwrap();
}

/// Waits until nothing is to be revoked any more of credentials that are not those of this user.
async fn renewed(world: &World, enclave: &str, former: &str) -> tentacular_test_harness::services::Login {
    let settled = async || {
        let is_new = login(world, enclave, "report").await.user != former;
        (is_new && record(world, enclave).await["postgres"].get("revoke").is_none()).then_some(())
    };
    until("the credentials are renewed and the former ones revoked", settled).await;
    login(world, enclave, "report").await
}

async fn pause(world: &World, enclave: &str, paused: bool) {
    let patch = json!({ "spec": { "paused": paused } });
    world.admin.namespaced::<Deployment>(enclave).patch("report", &patch).await.unwrap();
}

#[tokio::test]
async fn a_renewal_that_nobody_waits_for_is_finished_by_whichever_registrar_there_is() {
    let Some(postgres) = Postgres::start().await.unwrap() else { return };
    let first = world(&postgres, &[]).await;
    let enclave = enclave_of_rob(&first, "finished").await;
    let rob = person("rob@x.io");
    let mut asked = call(&enclave, "report", WORKFLOW);
    asked["wait_seconds"] = json!(120);
    first.call(&rob, "wf_apply", asked.clone()).await.unwrap();
    let former = login(&first, &enclave, "report").await;
    let session = postgres.connect(&former).await.unwrap();

    asked["manifests"][1]["spec"]["paused"] = json!(true);
    asked["rotate_credentials"] = json!(true);
    asked["wait_seconds"] = json!(0);
    let applied = first.call(&rob, "wf_apply", asked).await.unwrap();
    assert!(applied.get("rollout").is_none(), "{applied}");
    let second = world(&postgres, &[]).await;
    // It is killed with its world.
    drop(first);
    assert_eq!(record(&second, &enclave).await["postgres"]["revoke"], true);
    session.query_one("SELECT 1", &[]).await.unwrap();
    postgres.connect(&former).await.unwrap();
    pause(&second, &enclave, false).await;
    let now = renewed(&second, &enclave, &former.user).await;
    assert!(session.query_one("SELECT 1", &[]).await.is_err());
    assert!(postgres.connect(&former).await.is_err());
    postgres.connect(&now).await.unwrap();
}

#[tokio::test]
async fn credentials_that_are_too_old_are_renewed_wherever_they_are_written() {
    let Some(postgres) = Postgres::start().await.unwrap() else { return };
    let world = world(&postgres, &["--exoskeleton-max-credential-age=1h"]).await;
    let enclave = enclave_of_rob(&world, "aged").await;
    let rob = person("rob@x.io");
    let mut asked = call(&enclave, "report", WORKFLOW);
    asked["wait_seconds"] = json!(120);
    world.call(&rob, "wf_apply", asked.clone()).await.unwrap();
    let former = login(&world, &enclave, "report").await;
    let checksum = async || {
        let deployment = world.admin.namespaced::<Deployment>(&enclave).get("report").await.unwrap().unwrap();
        let pods = deployment.spec.unwrap().template.metadata.unwrap();
        pods.annotations.unwrap()[keys::CONFIG_CHECKSUM].clone()
    };
    let before = checksum().await;
    age(&world, &enclave).await;
    let now = renewed(&world, &enclave, &former.user).await;
    assert!(postgres.connect(&former).await.is_err());
    postgres.connect(&now).await.unwrap();
    assert_ne!(checksum().await, before, "its pods are replaced");
    let secrets = secret(&world, &enclave, "report-secrets").await.unwrap();
    let read: BTreeMap<String, String> = serde_json::from_str(&secrets["tentacular-postgres"]).unwrap();
    assert_eq!((&read["user"], &read["password"]), (&now.user, &now.password));
    assert_eq!(secrets["github"], "token", "what its author wrote stays");
    let code = world.admin.namespaced::<ConfigMap>(&enclave).get("report-code").await.unwrap().unwrap();
    let file = &code.data.unwrap()["workflow.yaml"];
    assert!(file.contains(&format!("user: {}", now.user)) && file.starts_with("# rows\n"), "{file}");
    // It is what the same apply would have made of it.
    let again = world.call(&rob, "wf_apply", asked).await.unwrap();
    assert_eq!((&again["status"], &again["warnings"]), (&json!("unchanged"), &json!([])), "{again}");
    assert_eq!(login(&world, &enclave, "report").await.password, now.password);
    let status = world.call(&rob, "exo_status", json!({})).await.unwrap();
    assert_eq!(status["max_credential_age_hours"], 1, "{status}");
    for password in [&former.password, &now.password] {
        assert!(!world.log().contains(password.as_str()));
    }
}

#[tokio::test]
async fn credentials_that_expire_are_renewed_before_they_do() {
    let Some(nats) = Nats::with_operator().await.unwrap() else { return };
    let start = async |days: u16| {
        let days = ["--exoskeleton=true".to_owned(), format!("--nats-credential-days={days}")];
        World::start_with(None, &[days.to_vec(), nats_args(&nats)].concat()).await.unwrap()
    };
    let workflow =
        WORKFLOW.replace("tentacular-postgres: {protocol: postgresql}", "tentacular-nats: {protocol: nats}");
    let first = start(1).await;
    let enclave = enclave_of_rob(&first, "expiring").await;
    let mut asked = call(&enclave, "report", &workflow);
    asked["wait_seconds"] = json!(120);
    first.call(&person("rob@x.io"), "wf_apply", asked).await.unwrap();
    let creds = async |world: &World| secret(world, &enclave, SECRET).await.unwrap()["tentacular-nats.creds"].clone();
    let former = creds(&first).await;
    drop(first);
    // To whom it is in its last third.
    let second = start(90).await;
    age(&second, &enclave).await;
    let settled = async || {
        let is_new = creds(&second).await != former;
        (is_new && record(&second, &enclave).await["nats"].get("revoke").is_none()).then_some(())
    };
    until("the credential is renewed", settled).await;
    let connect = async |creds: &str| {
        async_nats::ConnectOptions::with_credentials(creds).unwrap().connect(nats.url()).await.map(drop)
    };
    assert!(connect(&former).await.is_err());
    connect(&creds(&second).await).await.unwrap();
}

#[tokio::test]
async fn nothing_of_a_frozen_enclave_is_renewed_until_it_thaws() {
    let Some(postgres) = Postgres::start().await.unwrap() else { return };
    let world = world(&postgres, &["--exoskeleton-max-credential-age=1h"]).await;
    let (frozen, other) = (enclave_of_rob(&world, "frozen-old").await, enclave_of_rob(&world, "thawed-old").await);
    let rob = person("rob@x.io");
    for enclave in [&frozen, &other] {
        let mut asked = call(enclave, "report", WORKFLOW);
        asked["wait_seconds"] = json!(120);
        world.call(&rob, "wf_apply", asked).await.unwrap();
    }
    let (kept, former) = (login(&world, &frozen, "report").await, login(&world, &other, "report").await);
    annotate(&world, &frozen, keys::ENCLAVE_STATUS, "frozen").await;
    age(&world, &frozen).await;
    age(&world, &other).await;
    renewed(&world, &other, &former.user).await;
    assert_eq!(login(&world, &frozen, "report").await.password, kept.password);
    postgres.connect(&kept).await.unwrap();
    annotate(&world, &frozen, keys::ENCLAVE_STATUS, "active").await;
    renewed(&world, &frozen, &kept.user).await;
}

#[tokio::test]
async fn a_service_that_is_away_leaves_credentials_as_they_are_and_is_tried_again() {
    let Some(mut postgres) = Postgres::start().await.unwrap() else { return };
    let world = world(&postgres, &["--exoskeleton-max-credential-age=1h"]).await;
    let enclave = enclave_of_rob(&world, "away-old").await;
    let rob = person("rob@x.io");
    let mut asked = call(&enclave, "report", WORKFLOW);
    asked["wait_seconds"] = json!(120);
    world.call(&rob, "wf_apply", asked).await.unwrap();
    let former = login(&world, &enclave, "report").await;
    postgres.server.kill().await.unwrap();
    age(&world, &enclave).await;
    let told = async || {
        let log = world.log();
        let told = log.lines().any(|line| line.contains("are not renewed") && line.contains(&enclave));
        let status = world.call(&rob, "exo_status", json!({})).await.unwrap();
        (told && status["renewals_failing"].as_u64() > Some(0)).then_some(())
    };
    until("the failure is told", told).await;
    assert_eq!(login(&world, &enclave, "report").await.password, former.password);
    postgres.server.restart().await.unwrap();
    renewed(&world, &enclave, &former.user).await;
}

#[tokio::test]
async fn a_tentacle_is_not_moved_to_another_server_without_being_asked() {
    let (Some(one), Some(two)) = (Postgres::start().await.unwrap(), Postgres::start().await.unwrap()) else { return };
    let first = world(&one, &[]).await;
    let enclave = enclave_of_rob(&first, "moved").await;
    let rob = person("rob@x.io");
    let mut asked = call(&enclave, "report", WORKFLOW);
    asked["wait_seconds"] = json!(120);
    first.call(&rob, "wf_apply", asked.clone()).await.unwrap();
    let former = login(&first, &enclave, "report").await;
    drop(first);
    let second = world(&two, &["--exoskeleton-max-credential-age=1h"]).await;
    let other = enclave_of_rob(&second, "stays").await;
    second.call(&rob, "wf_apply", call(&other, "report", WORKFLOW)).await.unwrap();
    let others = login(&second, &other, "report").await;
    age(&second, &enclave).await;
    age(&second, &other).await;
    // What is there is renewed, after the first one's turn.
    renewed(&second, &other, &others.user).await;
    assert_eq!(login(&second, &enclave, "report").await.password, former.password);
    second.call(&rob, "wf_apply", asked).await.unwrap();
    two.connect(&login(&second, &enclave, "report").await).await.unwrap();
}
