//! Credentials that are renewed under a client that goes on working.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Context as _;
use serde_json::json;
use tentacular_test_harness::services::{Login, Postgres};
use tokio::{
    sync::watch,
    time::{interval, timeout},
};

use crate::{
    backing::{WORKFLOW, call, enclave_of_rob, login, world},
    world::{World, person},
};

/// Pause between two requests of the client.
const PERIOD: Duration = Duration::from_millis(20);
/// Requests by one credential that are waited for.
const ENOUGH: usize = 25;
/// Only what hangs takes so long.
const HANGING: Duration = Duration::from_mins(3);

/// How many requests succeeded by which user, and why one did not.
#[derive(Debug, Default)]
struct Seen {
    succeeded: BTreeMap<String, usize>,
    failed: Option<String>,
}

/// Writes again and again, each time with what the Secret says then, until a request fails or nobody looks any more.
async fn write(world: Arc<World>, postgres: Arc<Postgres>, enclave: String, seen: watch::Sender<Seen>) {
    let mut pause = interval(PERIOD);
    while !seen.is_closed() {
        pause.tick().await;
        let login = login(&world, &enclave, "report").await;
        let wrote = insert(&postgres, &login).await;
        seen.send_modify(|seen| match wrote {
            Ok(()) => *seen.succeeded.entry(login.user).or_default() += 1,
            Err(error) => seen.failed = Some(format!("{}: {error:#}", login.user)),
        });
        if seen.borrow().failed.is_some() {
            return;
        }
    }
}

async fn insert(postgres: &Postgres, login: &Login) -> anyhow::Result<()> {
    let client = postgres.connect(login).await.context("connecting")?;
    client.execute("INSERT INTO kept VALUES (1)", &[]).await.context("writing")?;
    Ok(())
}

/// Waits until that user has succeeded often enough.
async fn enough(seen: &mut watch::Receiver<Seen>, user: &str) {
    let before = seen.borrow().succeeded.get(user).copied().unwrap_or_default();
    let ends = |seen: &Seen| seen.failed.is_some() || seen.succeeded.get(user) >= Some(&(before + ENOUGH));
    let seen = timeout(HANGING, seen.wait_for(ends)).await.expect("the client hangs").unwrap();
    assert_eq!(seen.failed, None, "{seen:?}");
}

#[tokio::test]
async fn a_client_that_follows_its_secret_sees_no_failed_request() {
    let Some(postgres) = Postgres::start().await.unwrap() else { return };
    let (world, postgres) = (Arc::new(world(&postgres, &[]).await), Arc::new(postgres));
    let enclave = enclave_of_rob(&world, "rotated").await;
    let rob = person("rob@x.io");
    let mut plain = call(&enclave, "report", WORKFLOW);
    plain["wait_seconds"] = json!(270);
    world.call(&rob, "wf_apply", plain.clone()).await.unwrap();
    let former = login(&world, &enclave, "report").await;
    let session = postgres.connect(&former).await.unwrap();
    session.batch_execute("CREATE TABLE kept (n int)").await.unwrap();
    let (sender, mut seen) = watch::channel(Seen::default());
    let client = tokio::spawn(write(Arc::clone(&world), Arc::clone(&postgres), enclave.clone(), sender));
    enough(&mut seen, &former.user).await;

    // The pods wait, so that former and new credentials are in use side by side.
    let mut renewing = plain.clone();
    renewing["manifests"][1]["spec"]["paused"] = json!(true);
    renewing["rotate_credentials"] = json!(true);
    renewing["wait_seconds"] = json!(1);
    world.call(&rob, "wf_apply", renewing).await.unwrap();
    let renewed = login(&world, &enclave, "report").await;
    assert_ne!(renewed.user, former.user);
    enough(&mut seen, &renewed.user).await;
    session.execute("INSERT INTO kept VALUES (0)", &[]).await.unwrap();
    insert(&postgres, &former).await.unwrap();

    let applied = world.call(&rob, "wf_apply", plain).await.unwrap();
    assert_eq!((&applied["rollout"]["ready"], &applied["warnings"]), (&json!(true), &json!([])), "{applied}");
    assert!(session.execute("INSERT INTO kept VALUES (0)", &[]).await.is_err(), "the open session is ended");
    let refused = insert(&postgres, &former).await.unwrap_err();
    assert_eq!(refused.to_string(), "connecting", "{refused:#}");
    enough(&mut seen, &renewed.user).await;
    drop(seen);
    timeout(HANGING, client).await.expect("the client hangs").unwrap();
}
