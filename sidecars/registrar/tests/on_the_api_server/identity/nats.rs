//! A real NATS server that knows tentacles by the identities in their certificates.

use std::path::PathBuf;

use async_nats::{Client, ConnectError, ConnectOptions, Event};
use futures::{StreamExt as _, future::join_all};
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};
use tentacular_cluster::{Cluster, Conflicts, Delete, Error};
use tentacular_contract::Caller;
use tentacular_test_harness::{
    ControlPlane, Scratch,
    installation::allow_nats_entries,
    services::{Nats, refuses},
};
use tokio::{sync::mpsc, time::timeout};

use super::{HANGS, as_registrar, of, status, workflow};
use crate::{
    backing::{call, enclave_of_rob, secret},
    world::{World, person},
};

const CONFIG_MAP: &str = "nats-tentacular-authz";
const FILE: &str = "authorization.conf";
/// A `ConfigMap` of somebody else beside it.
const THEIRS: &str = "theirs";
/// What others wrote, the older server among them.
const OTHERS: &str = r#"# people
authorization {
  default_permissions = { publish = "nothing" } // for whoever has none
  users = [
    {
      user = "spiffe://tentacular/ns/older/tentacles/report"
      permissions = {
        publish = {
          allow = ["tentacular.older.report.>"]
        }
        subscribe = {
          allow = ["tentacular.older.report.>"]
        }
      }
    },
    { user: "spiffe://x.io/ops", permissions: { publish: ">", subscribe: { allow: ">", deny: ["secret.>"] } } } # all
  ]
}
"#;

/// A server, registrars that write its list of users, and where that is.
struct Place {
    nats: Nats,
    worlds: Vec<World>,
    namespace: String,
    scratch: Scratch,
}

impl Place {
    /// With so many registrars.
    async fn start(registrars: usize) -> Option<Self> {
        let nats = Nats::with_certificates().await.unwrap()?;
        let control_plane = ControlPlane::shared().await.unwrap();
        let namespace = control_plane.namespace("messaging").await.unwrap();
        let args = [
            "--exoskeleton=true".to_owned(),
            "--exoskeleton-cleanup=true".to_owned(),
            format!("--nats-url={}", nats.url()),
            "--nats-spiffe=true".to_owned(),
            format!("--nats-authz-namespace={namespace}"),
        ];
        let mut worlds = Vec::new();
        allow_nats_entries(control_plane, &namespace, CONFIG_MAP).await.unwrap();
        for _ in 0..registrars {
            worlds.push(World::start_with(None, &args).await.unwrap());
        }
        as_registrar(async |cluster| cluster.namespaced::<ConfigMap>(&namespace).get(CONFIG_MAP).await.map(drop))
            .await;
        Some(Self { nats, worlds, namespace, scratch: Scratch::new().unwrap() })
    }

    async fn write(&self, file: &str) {
        let map = json!({ "metadata": { "name": CONFIG_MAP, "namespace": self.namespace },
            "data": { FILE: file, "other.conf": "kept" } });
        let maps = self.worlds[0].admin.namespaced::<ConfigMap>(&self.namespace);
        maps.create(&serde_json::from_value(map).unwrap()).await.unwrap();
    }

    async fn map(&self) -> Option<ConfigMap> {
        self.worlds[0].admin.namespaced::<ConfigMap>(&self.namespace).get(CONFIG_MAP).await.unwrap()
    }

    /// What the file says, which the server is given as its volume would be.
    async fn taken_up(&self) -> String {
        let file = self.map().await.unwrap().data.unwrap()[FILE].clone();
        self.nats.set_users(&file).await.unwrap();
        file
    }

    /// A connection with this identity, and what the server objects to.
    async fn connect(
        &self,
        identity: &str,
        inbox: &str,
    ) -> Result<(Client, mpsc::UnboundedReceiver<Event>), ConnectError> {
        let pair = self.nats.certificate(identity).unwrap();
        let folder = self.scratch.path().join(identity.replace(['/', ':'], "_"));
        std::fs::create_dir_all(&folder).unwrap();
        let file = |name: &str, text: String| -> PathBuf {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let (heard, events) = mpsc::unbounded_channel();
        let options = ConnectOptions::new()
            .require_tls(true)
            .add_root_certificates(file("ca.crt", self.nats.authority_pem()))
            .add_client_certificate(file("tls.crt", pair.certificate), file("tls.key", pair.key))
            .custom_inbox_prefix(inbox)
            .event_callback(move |event| {
                // Nobody has to listen.
                drop(heard.send(event));
                std::future::ready(())
            });
        Ok((options.connect(self.nats.url()).await?, events))
    }

    async fn is_refused(&self, identity: &str) -> bool {
        refuses(async || Ok(self.connect(identity, "_INBOX").await?.0)).await.unwrap()
    }
}

fn principal(enclave: &str, tentacle: &str) -> String {
    format!("spiffe://tentacular/ns/{enclave}/tentacles/{tentacle}")
}

async fn apply(world: &World, enclave: &str, name: &str) -> Result<Value, String> {
    world.call(&person("rob@x.io"), "wf_apply", call(enclave, name, &workflow())).await
}

async fn remove(world: &World, enclave: &str, name: &str) -> Result<Value, String> {
    world.call(&person("rob@x.io"), "wf_remove", json!({ "enclave": enclave, "name": name })).await
}

async fn objection(events: &mut mpsc::UnboundedReceiver<Event>) -> String {
    loop {
        match timeout(HANGS, events.recv()).await.expect("the server objects to nothing") {
            Some(Event::ServerError(error)) => return error.to_string(),
            Some(_) => {}
            None => panic!("the connection ended"),
        }
    }
}

#[tokio::test]
async fn a_tentacle_is_admitted_by_its_identity_until_it_is_removed() {
    let Some(place) = Place::start(1).await else { return };
    let world = &place.worlds[0];
    let enclave = enclave_of_rob(world, "admitted").await;
    place.write(OTHERS).await;
    let applied = apply(world, &enclave, "report").await.unwrap();
    assert_eq!(applied["warnings"], json!([]), "{applied}");
    let secret = secret(world, &enclave, "tentacular-exoskeleton-report").await.unwrap();
    let field = |name: &str| secret.get(&format!("tentacular-nats.{name}")).map(String::as_str);
    let (subjects, inbox) = (format!("tentacular.{enclave}.report.>"), format!("_INBOX.{enclave}.report"));
    assert_eq!(
        ["auth_method", "url", "subject_prefix", "inbox_prefix", "token", "creds"].map(field),
        [Some("spiffe"), Some(&*place.nats.url()), Some(&*subjects), Some(&*inbox), None, None]
    );
    assert_eq!(secret["tentacular-identity.principal"], principal(&enclave, "report"));
    assert_eq!(apply(world, &enclave, "report").await.unwrap()["status"], "unchanged");

    let written = place.taken_up().await;
    let (before, after) = OTHERS.split_once("  users = [\n").unwrap();
    assert!(written.starts_with(before) && written.ends_with(after), "{written}");
    own_subjects_work(&place, &enclave).await;
    nothing_else_does(&place, &enclave).await;

    let holders = world.call(&Caller::Bearer, "exo_orphans", json!({ "service": "nats" })).await.unwrap();
    let named: Vec<_> = holders["orphans"].as_array().unwrap().iter().map(|orphan| &orphan["tentacle"]).collect();
    assert_eq!(named, [&json!("older/report")], "{holders}");

    let (_, mut events) = place.connect(&principal(&enclave, "report"), &inbox).await.unwrap();
    let removed = remove(world, &enclave, "report").await.unwrap();
    assert_eq!(removed["exo_cleanup_details"], "nats authz entry removed", "{removed}");
    assert_eq!(place.taken_up().await, OTHERS);
    while !matches!(timeout(HANGS, events.recv()).await.expect("it goes on"), Some(Event::Disconnected) | None) {}
    assert!(place.is_refused(&principal(&enclave, "report")).await);
    assert_eq!(place.map().await.unwrap().data.unwrap()["other.conf"], "kept");
    let status = status(world, |status| of(status, "nats")["isolation"] == "full").await;
    assert_eq!((&status["nats_available"], &status["nats_spiffe_enabled"]), (&json!(true), &json!(true)), "{status}");
}

async fn own_subjects_work(place: &Place, enclave: &str) {
    let (own, inbox) = (format!("tentacular.{enclave}.report"), format!("_INBOX.{enclave}.report"));
    let (one, _) = place.connect(&principal(enclave, "report"), &inbox).await.unwrap();
    let (two, _) = place.connect(&principal(enclave, "report"), &inbox).await.unwrap();
    let mut asked = one.subscribe(format!("{own}.>")).await.unwrap();
    // The server knows of the subscription when this has come back.
    one.publish(format!("{own}.begin"), "".into()).await.unwrap();
    timeout(HANGS, asked.next()).await.unwrap().unwrap();
    let serving = tokio::spawn(async move {
        let request = timeout(HANGS, asked.next()).await.unwrap().unwrap();
        one.publish(request.reply.unwrap(), "answer".into()).await.unwrap();
        one.flush().await.unwrap();
    });
    let answer = timeout(HANGS, two.request(format!("{own}.ask"), "?".into())).await.unwrap().unwrap();
    assert_eq!(answer.payload, "answer");
    serving.await.unwrap();
}

async fn nothing_else_does(place: &Place, enclave: &str) {
    let (client, mut events) =
        place.connect(&principal(enclave, "report"), &format!("_INBOX.{enclave}.report")).await.unwrap();
    for subject in [">", "tentacular.>", "tentacular.older.report.>", "_INBOX.>", "$SYS.>"] {
        drop(client.subscribe(subject).await.unwrap());
        let objection = objection(&mut events).await;
        assert_eq!(objection, format!("nats: Permissions Violation for Subscription to \"{subject}\""));
    }
    for subject in ["tentacular.older.report.x", "_INBOX.x", "$JS.API.INFO"] {
        client.publish(subject, "stolen".into()).await.unwrap();
        let objection = objection(&mut events).await;
        assert_eq!(objection, format!("nats: Permissions Violation for Publish to \"{subject}\""));
    }
    for other in [principal(enclave, "other"), "spiffe://x.io/report".to_owned()] {
        assert!(place.is_refused(&other).await, "{other}");
    }
    // Whoever says that it is the tentacle, with another's certificate, is the other.
    let (witness, mut events) = place.connect("spiffe://x.io/ops", "_INBOX").await.unwrap();
    drop(witness.subscribe("secret.x").await.unwrap());
    assert!(objection(&mut events).await.contains("secret.x"), "what others wrote is in force");
}

#[tokio::test]
async fn registrars_that_write_at_the_same_time_lose_nothing() {
    let Some(place) = Place::start(2).await else { return };
    let enclave = enclave_of_rob(&place.worlds[0], "crowd").await;
    assert!(place.map().await.is_none());
    let names: Vec<_> = (0..6).map(|number| format!("t{number}")).collect();
    let applies = names.iter().zip(place.worlds.iter().cycle()).map(|(name, world)| apply(world, &enclave, name));
    for applied in join_all(applies).await {
        applied.unwrap();
    }
    let written = place.taken_up().await;
    for name in &names {
        assert_eq!(written.matches(&format!("\"{}\"", principal(&enclave, name))).count(), 1, "{written}");
        place.connect(&principal(&enclave, name), "_INBOX").await.unwrap();
    }
    let labels = place.map().await.unwrap().metadata.labels.unwrap();
    assert_eq!(labels["app.kubernetes.io/managed-by"], "tentacular");
    let removals = names.iter().zip(place.worlds.iter().cycle()).map(|(name, world)| remove(world, &enclave, name));
    for removed in join_all(removals).await {
        removed.unwrap();
    }
    let left = place.taken_up().await;
    assert!(!left.contains("spiffe://"), "{left}");
    // With nobody on its list the server would admit everybody.
    for name in &names {
        assert!(place.is_refused(&principal(&enclave, name)).await, "{left}");
    }
    place.nats.set_users("authorization { users = [] }").await.unwrap();
    assert!(!place.is_refused("spiffe://x.io/anybody").await);
}

#[tokio::test]
async fn a_file_that_is_not_understood_is_left_alone() {
    let Some(mut place) = Place::start(1).await else { return };
    let enclave = enclave_of_rob(&place.worlds[0], "untouched").await;
    let theirs = "authorization { users = [ { user: \"hunter2 } ] }\n";
    place.write(theirs).await;
    let world = &place.worlds[0];
    let error = apply(world, &enclave, "report").await.unwrap_err();
    let expected = format!(
        "nothing was applied: exoskeleton: nats: ConfigMap {}/{CONFIG_MAP}, {FILE}: line 1: a quote without its end, which \
         is not understood; nothing was written there",
        place.namespace
    );
    assert!(error.starts_with(&expected) && !error.contains("hunter2"), "{error}");
    assert_eq!(place.map().await.unwrap().data.unwrap()[FILE], theirs);
    let other = call(&enclave, "other", &workflow().replace("tentacular-nats", "other"));
    world.call(&person("rob@x.io"), "wf_apply", other).await.unwrap();
    assert!(!world.log().contains("hunter2"));

    let better = json!({ "data": { FILE: null } });
    world.admin.namespaced::<ConfigMap>(&place.namespace).patch(CONFIG_MAP, &better).await.unwrap();
    place.nats.server.kill().await.unwrap();
    let world = &place.worlds[0];
    let error = apply(world, &enclave, "report").await.unwrap_err();
    assert!(error.starts_with("nothing was applied: exoskeleton: nats: not available: "), "{error}");
    place.nats.server.restart().await.unwrap();
    apply(world, &enclave, "report").await.unwrap();
    assert!(place.taken_up().await.contains(&principal(&enclave, "report")));
}

#[tokio::test]
async fn a_server_that_does_not_look_at_certificates_is_not_used() {
    let Some(nats) = Nats::with_token().await.unwrap() else { return };
    let url = format!("--nats-url={}", nats.url());
    let args = ["--exoskeleton=true".to_owned(), url, "--nats-spiffe=true".to_owned()];
    let world = World::start_with(None, &args).await.unwrap();
    let status = status(&world, |_| true).await;
    let detail = of(&status, "nats")["detail"].as_str().unwrap();
    assert!(detail.starts_with("it does not ask clients for certificates"), "{detail}");
}

#[tokio::test]
async fn the_registrar_writes_the_list_of_users_and_no_other_config_map_beside_it() {
    let world = World::start().await.unwrap();
    let control_plane = ControlPlane::shared().await.unwrap();
    let namespace = &control_plane.namespace("messaging").await.unwrap();
    allow_nats_entries(control_plane, namespace, CONFIG_MAP).await.unwrap();
    for name in [CONFIG_MAP, THEIRS] {
        world.admin.namespaced::<ConfigMap>(namespace).create(&map(name)).await.unwrap();
    }
    let registrar =
        as_registrar(async |cluster| cluster.namespaced::<ConfigMap>(namespace).get(CONFIG_MAP).await.map(drop))
            .await;
    for (attempt, done) in attempts(&world.admin, namespace).await {
        assert!(done.is_ok(), "{attempt}: {done:?}");
    }
    for (attempt, done) in attempts(&registrar, namespace).await {
        // By RBAC: no policy is about these.
        let refused = matches!(&done, Err(Error::Forbidden { message, .. }) if message.contains("\" cannot "));
        assert!(refused, "{attempt}: {done:?}");
    }
    let own = registrar.namespaced::<ConfigMap>(namespace).dry_run(true);
    own.apply(&map(CONFIG_MAP), Conflicts::TakeOver).await.unwrap();
    own.patch(CONFIG_MAP, &change()).await.unwrap();
}

fn map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({ "metadata": { "name": name }, "data": { FILE: OTHERS } })).unwrap()
}

fn change() -> Value {
    json!({ "data": { FILE: "" } })
}

/// What the account is not for, and how each ended, as nothing but a dry run.
async fn attempts(cluster: &Cluster, namespace: &str) -> [(&'static str, Result<(), Error>); 6] {
    let maps = cluster.namespaced::<ConfigMap>(namespace).dry_run(true);
    [
        ("creates another", maps.create(&map("loot")).await.map(drop)),
        ("applies another", maps.apply(&map("loot"), Conflicts::TakeOver).await.map(drop)),
        ("changes another", maps.patch(THEIRS, &change()).await.map(drop)),
        ("replaces another", maps.replace(&map(THEIRS)).await.map(drop)),
        ("deletes another", maps.delete(THEIRS, &Delete::default()).await.map(drop)),
        ("deletes its own", maps.delete(CONFIG_MAP, &Delete::default()).await.map(drop)),
    ]
}
