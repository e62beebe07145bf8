//! Shares of a real NATS server: what an apply gives a tentacle, what a rotation and a removal take away.

use std::{collections::BTreeMap, time::Duration};

use async_nats::{
    Client, ConnectError, ConnectOptions,
    jetstream::{self, context::ContextBuilder},
};
use futures::StreamExt as _;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use serde_json::json;
use tentacular_contract::Caller;
use tentacular_test_harness::services::{Access, Nats, refuses};
use tokio::time::timeout;

use crate::{
    backing::{WORKFLOW, call, enclave_of_rob, secret},
    world::{World, person},
};

/// Only what hangs takes that long.
const HANGS: Duration = Duration::from_mins(2);

/// A registrar with a server whose accounts it makes.
async fn world(nats: &Nats, cleanup: bool) -> World {
    let Access::Operator(operator) = &nats.access else { panic!("{nats:?}") };
    let system = operator.system_user().unwrap();
    let creds = system.creds();
    let args = [
        "--exoskeleton=true".to_owned(),
        format!("--exoskeleton-cleanup={cleanup}"),
        "--nats-jetstream-disk-mib=1".to_owned(),
        format!("--nats-url={}", nats.url()),
        format!("--nats-account={}", operator.account()),
        format!("--nats-signing-key={}", operator.signing_seed().unwrap()),
        format!("--nats-operator-key={}", operator.operator_seed().unwrap()),
        format!("--nats-system-creds={creds}"),
    ];
    World::start_with(None, &args).await.unwrap()
}

fn workflow() -> String {
    WORKFLOW.replace("tentacular-postgres: {protocol: postgresql}", "tentacular-nats: {protocol: nats}")
}

/// What the tentacle's Secret says of NATS.
async fn given(world: &World, enclave: &str) -> BTreeMap<String, String> {
    let secret = secret(world, enclave, "tentacular-exoskeleton-report").await.unwrap().into_iter();
    secret.filter_map(|(key, value)| Some((key.strip_prefix("tentacular-nats.")?.to_owned(), value))).collect()
}

async fn connect(given: &BTreeMap<String, String>) -> Result<Client, ConnectError> {
    let options = ConnectOptions::with_credentials(&given["creds"]).unwrap();
    let options = options.connection_timeout(HANGS).request_timeout(Some(HANGS));
    options.custom_inbox_prefix(&given["inbox_prefix"]).connect(given["url"].as_str()).await
}

async fn is_refused(given: &BTreeMap<String, String>) -> bool {
    refuses(|| connect(given)).await.unwrap()
}

#[tokio::test]
async fn a_tentacle_that_asks_for_messages_has_its_own_until_it_is_removed() {
    let Some(nats) = Nats::with_operator().await.unwrap() else { return };
    let world = world(&nats, true).await;
    let enclave = enclave_of_rob(&world, "messages").await;
    let rob = person("rob@x.io");
    let mut asked = call(&enclave, "report", &workflow());
    asked["wait_seconds"] = json!(120);
    let applied = world.call(&rob, "wf_apply", asked.clone()).await.unwrap();
    assert_eq!((&applied["rollout"]["ready"], &applied["warnings"]), (&json!(true), &json!([])), "{applied}");
    let first = given(&world, &enclave).await;
    let subject = format!("tentacular.{enclave}.report.>");
    assert_eq!((&first["subject_prefix"], first["auth_method"].as_str()), (&subject, "jwt"));
    let client = connect(&first).await.unwrap();
    let mut heard = client.subscribe(subject.clone()).await.unwrap();
    client.publish(subject.replace('>', "x"), "1".into()).await.unwrap();
    assert_eq!(timeout(HANGS, heard.next()).await.unwrap().unwrap().payload, "1");

    let jetstream = messages_of(client.clone());
    let stream = jetstream::stream::Config {
        name: "kept".to_owned(),
        subjects: vec![subject.replace('>', "kept")],
        ..jetstream::stream::Config::default()
    };
    jetstream.create_stream(stream).await.unwrap();
    jetstream.publish(subject.replace('>', "kept"), "1".into()).await.unwrap().await.unwrap();

    let address = nats.server.address();
    let code = world.admin.namespaced::<ConfigMap>(&enclave).get("report-code").await.unwrap().unwrap();
    let file = &code.data.unwrap()["workflow.yaml"];
    let completed =
        format!("{{protocol: nats, host: {}, port: '{}', subject: {subject}", address.ip(), address.port());
    assert!(file.contains(&completed) && file.contains("secret: tentacular-nats.creds"), "{file}");
    let deployment = world.admin.namespaced::<Deployment>(&enclave).get("report").await.unwrap().unwrap();
    let args = deployment.spec.unwrap().template.spec.unwrap().containers.remove(0).args.unwrap();
    assert!(args[1].contains(&address.to_string()), "{args:?}");
    let again = world.call(&rob, "wf_apply", asked.clone()).await.unwrap();
    assert_eq!(again["status"], "unchanged", "{again}");

    asked["rotate_credentials"] = json!(true);
    let rotated = world.call(&rob, "wf_apply", asked).await.unwrap();
    assert_eq!((&rotated["rollout"]["ready"], &rotated["warnings"]), (&json!(true), &json!([])), "{rotated}");
    let second = given(&world, &enclave).await;
    assert!(is_refused(&first).await, "the former one is revoked");
    assert_eq!(kept(&second).await, Some(1));

    let removed = world.call(&rob, "wf_remove", json!({ "enclave": enclave, "name": "report" })).await.unwrap();
    assert_eq!(
        (&removed["exo_cleaned_up"], &removed["exo_cleanup_details"]),
        (&json!(true), &json!("nats account removed with its streams")),
        "{removed}"
    );
    assert!(is_refused(&second).await);
    for secret in [&first, &second].map(|given| given["creds"].lines().nth(5).unwrap()) {
        assert!(secret.starts_with("SU") && !world.log().contains(secret));
    }
}

fn messages_of(client: Client) -> jetstream::Context {
    ContextBuilder::new().timeout(HANGS).ack_timeout(HANGS).build(client)
}

/// How much is kept, if there is still the stream.
async fn kept(given: &BTreeMap<String, String>) -> Option<u64> {
    let jetstream = messages_of(connect(given).await.unwrap());
    Some(jetstream.get_stream("kept").await.ok()?.cached_info().state.messages)
}

#[tokio::test]
async fn messages_outlive_a_tentacle_until_an_administrator_removes_them() {
    let Some(nats) = Nats::with_operator().await.unwrap() else { return };
    let world = world(&nats, false).await;
    let enclave = enclave_of_rob(&world, "silent").await;
    let rob = person("rob@x.io");
    let asked = call(&enclave, "report", &workflow());
    let remove = json!({ "enclave": enclave, "name": "report" });
    world.call(&rob, "wf_apply", asked.clone()).await.unwrap();
    let first = given(&world, &enclave).await;
    let stream = jetstream::stream::Config { name: "kept".to_owned(), ..jetstream::stream::Config::default() };
    messages_of(connect(&first).await.unwrap()).create_stream(stream).await.unwrap();
    world.call(&rob, "wf_remove", remove.clone()).await.unwrap();
    world.call(&rob, "wf_apply", asked.clone()).await.unwrap();
    assert_eq!(kept(&given(&world, &enclave).await).await, Some(0), "it has what it had");
    world.call(&rob, "wf_remove", remove).await.unwrap();

    let orphans = world.call(&Caller::Bearer, "exo_orphans", json!({ "service": "nats" })).await.unwrap();
    let name = format!("{enclave}/report");
    let orphan = &orphans["orphans"][0];
    assert_eq!((&orphan["tentacle"], &orphan["age_days"]), (&json!(name), &json!(0)), "{orphans}");
    assert!(orphan["name"].as_str().unwrap().starts_with("account A"), "{orphans}");
    let confirmed = json!({ "service": "nats", "confirm": [name] });
    for done in ["account removed with its streams", "had nothing"] {
        let removed = world.call(&Caller::Bearer, "exo_orphans", confirmed.clone()).await.unwrap();
        assert_eq!(removed["removed"], json!([format!("{name}: nats {done}")]), "{removed}");
        assert_eq!((&removed["total"], &removed["warnings"]), (&json!(0), &json!([])), "{removed}");
    }
    assert!(is_refused(&first).await);
    world.call(&rob, "wf_apply", asked).await.unwrap();
    assert_eq!(kept(&given(&world, &enclave).await).await, None);
}

#[tokio::test]
async fn a_server_that_is_away_holds_up_only_who_needs_it() {
    let Some(mut nats) = Nats::with_operator().await.unwrap() else { return };
    let world = world(&nats, true).await;
    let enclave = enclave_of_rob(&world, "unheard").await;
    let rob = person("rob@x.io");
    nats.server.kill().await.unwrap();
    let error = world.call(&rob, "wf_apply", call(&enclave, "report", &workflow())).await.unwrap_err();
    assert!(error.starts_with("nothing was applied: exoskeleton: nats: not available: "), "{error}");
    let other = workflow().replace("tentacular-nats", "other");
    world.call(&rob, "wf_apply", call(&enclave, "other", &other)).await.unwrap();
    nats.server.restart().await.unwrap();
    world.call(&rob, "wf_apply", call(&enclave, "report", &workflow())).await.unwrap();
    nats.server.kill().await.unwrap();
    let remove = json!({ "enclave": enclave, "name": "report" });
    let error = world.call(&rob, "wf_remove", remove.clone()).await.unwrap_err();
    assert!(error.starts_with("nothing was removed: exoskeleton: nats cleanup: not available: "), "{error}");
    let former = given(&world, &enclave).await;
    nats.server.restart().await.unwrap();
    let removed = world.call(&rob, "wf_remove", remove).await.unwrap();
    assert_eq!(removed["exo_cleanup_details"], "nats account removed with its streams", "{removed}");
    assert!(is_refused(&former).await);
}

#[tokio::test]
async fn who_asks_for_other_credentials_hears_that_all_have_the_same() {
    let Some(nats) = Nats::with_token().await.unwrap() else { return };
    let Access::Token(token) = &nats.access else { panic!("{nats:?}") };
    let args =
        ["--exoskeleton=true".to_owned(), format!("--nats-url={}", nats.url()), format!("--nats-token={token}")];
    let world = World::start_with(None, &args).await.unwrap();
    let enclave = enclave_of_rob(&world, "alike").await;
    let mut asked = call(&enclave, "report", &workflow());
    for renew in [false, true] {
        asked["rotate_credentials"] = json!(renew);
        asked["wait_seconds"] = json!(0);
        let applied = world.call(&person("rob@x.io"), "wf_apply", asked.clone()).await.unwrap();
        let warnings = applied["warnings"].to_string();
        assert_eq!(warnings.contains("no credential of its own there that could be renewed"), renew, "{applied}");
        assert!(!warnings.contains("new already") && !world.log().contains(token), "{applied}");
    }
}
