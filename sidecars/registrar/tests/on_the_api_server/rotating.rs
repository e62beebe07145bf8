//! Credentials that are renewed under a client that goes on working, with each service.

mod used;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde_json::json;
use tentacular_test_harness::services::{Access, Minio, Nats, Postgres, Versitygw};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use self::used::{Fields, Messages, Objects, Rows, Used};
use crate::{
    backing::{WORKFLOW, call, enclave_of_rob, secret},
    world::{World, person},
};

/// Pause between two requests of the client.
const PERIOD: Duration = Duration::from_millis(20);
/// How long it writes at least.
const WRITING: Duration = Duration::from_secs(30);
/// Requests by one credential that are waited for.
const ENOUGH: usize = 25;
/// Only what hangs takes so long.
const HANGING: Duration = Duration::from_mins(3);

/// How many requests succeeded by which credential, and why one did not.
#[derive(Debug, Default)]
struct Seen {
    succeeded: BTreeMap<String, usize>,
    failed: Option<String>,
}

/// What the pods of the tentacle read of the service.
async fn read<U: Used>(world: &World, enclave: &str) -> Fields {
    let (name, _) = U::NAME.split_once(':').unwrap();
    serde_json::from_str(&secret(world, enclave, "report-secrets").await.unwrap()[name]).unwrap()
}

/// Writes again and again, each time with what the Secret says then, until a request fails or nobody looks any more.
async fn write<U: Used>(world: Arc<World>, enclave: String, seen: watch::Sender<Seen>) {
    let mut pause = interval(PERIOD);
    pause.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut open: Option<(Fields, U::Session)> = None;
    while !seen.is_closed() {
        pause.tick().await;
        let fields = read::<U>(&world, &enclave).await;
        let wrote = async {
            let (_, session) = match open.take() {
                Some(open_already) if open_already.0 == fields => open.insert(open_already),
                _ => open.insert((fields.clone(), U::open(&fields).await.context("connecting")?)),
            };
            U::write(session).await
        };
        let wrote = wrote.await;
        seen.send_modify(|seen| match wrote {
            Ok(()) => *seen.succeeded.entry(fields[U::CREDENTIAL].clone()).or_default() += 1,
            Err(error) => seen.failed = Some(format!("{error:#}")),
        });
        if seen.borrow().failed.is_some() {
            return;
        }
    }
}

/// Waits until that credential has succeeded often enough.
async fn enough(seen: &mut watch::Receiver<Seen>, credential: &str) {
    let before = seen.borrow().succeeded.get(credential).copied().unwrap_or_default();
    let ends = |seen: &Seen| seen.failed.is_some() || seen.succeeded.get(credential) >= Some(&(before + ENOUGH));
    let seen = timeout(HANGING, seen.wait_for(ends)).await.expect("the client hangs").unwrap();
    assert_eq!(seen.failed, None);
}

/// Renews the credentials of a tentacle, in two steps, while a client writes.
async fn rotates<U: Used>(args: Vec<String>) {
    let args: Vec<_> = ["--exoskeleton=true".to_owned()].into_iter().chain(args).collect();
    let world = Arc::new(World::start_with(None, &args).await.unwrap());
    let enclave = enclave_of_rob(&world, "rotated").await;
    let rob = person("rob@x.io");
    let workflow = WORKFLOW.replace("tentacular-postgres: {protocol: postgresql}", U::NAME);
    let mut plain = call(&enclave, "report", &workflow);
    plain["wait_seconds"] = json!(270);
    world.call(&rob, "wf_apply", plain.clone()).await.unwrap();
    let former = read::<U>(&world, &enclave).await;
    let session = U::open(&former).await.unwrap();
    let begun = Instant::now();
    let (sender, mut seen) = watch::channel(Seen::default());
    let client = tokio::spawn(write::<U>(Arc::clone(&world), enclave.clone(), sender));
    enough(&mut seen, &former[U::CREDENTIAL]).await;

    // The pods wait, so that former and new credentials are in use side by side.
    let mut renewing = plain.clone();
    renewing["manifests"][1]["spec"]["paused"] = json!(true);
    renewing["rotate_credentials"] = json!(true);
    renewing["wait_seconds"] = json!(1);
    world.call(&rob, "wf_apply", renewing.clone()).await.unwrap();
    let renewed = read::<U>(&world, &enclave).await;
    assert_ne!(renewed[U::CREDENTIAL], former[U::CREDENTIAL]);
    enough(&mut seen, &renewed[U::CREDENTIAL]).await;
    U::write(&session).await.unwrap();
    U::write(&U::open(&former).await.unwrap()).await.unwrap();
    // A third one would end the one that pods still use.
    let again = world.call(&rob, "wf_apply", renewing).await.unwrap();
    assert!(again["warnings"].to_string().contains("its credentials are new already"), "{again}");
    assert_eq!(read::<U>(&world, &enclave).await, renewed);

    let applied = world.call(&rob, "wf_apply", plain).await.unwrap();
    assert_eq!((&applied["rollout"]["ready"], &applied["warnings"]), (&json!(true), &json!([])), "{applied}");
    let ended = async {
        while !U::is_ended(&session).await {
            sleep(PERIOD).await;
        }
    };
    timeout(HANGING, ended).await.expect("the open session is ended");
    assert!(U::open(&former).await.is_err(), "the former credential is refused");
    enough(&mut seen, &renewed[U::CREDENTIAL]).await;
    sleep(WRITING.saturating_sub(begun.elapsed())).await;
    enough(&mut seen, &renewed[U::CREDENTIAL]).await;
    drop(seen);
    timeout(HANGING, client).await.expect("the client hangs").unwrap();
}

#[tokio::test]
async fn a_client_of_postgres_that_follows_its_secret_sees_no_failed_request() {
    let Some(postgres) = Postgres::start().await.unwrap() else { return };
    rotates::<Rows>(postgres_args(&postgres)).await;
}

#[tokio::test]
async fn a_client_of_nats_that_follows_its_secret_sees_no_failed_request() {
    let Some(nats) = Nats::with_operator().await.unwrap() else { return };
    rotates::<Messages>(nats_args(&nats)).await;
}

#[tokio::test]
async fn a_client_of_minio_that_follows_its_secret_sees_no_failed_request() {
    let Some(minio) = Minio::start().await.unwrap() else { return };
    let args = [
        ("endpoint", minio.endpoint()),
        ("access-key", minio.access_key.clone()),
        ("secret-key", minio.secret_key.clone()),
    ];
    rotates::<Objects>(args.map(|(name, value)| format!("--rustfs-{name}={value}")).to_vec()).await;
}

#[tokio::test]
async fn a_client_of_a_server_with_iam_that_follows_its_secret_sees_no_failed_request() {
    let Some(versitygw) = Versitygw::start().await.unwrap() else { return };
    let args = [
        ("endpoint", versitygw.endpoint()),
        ("iam-endpoint", versitygw.iam_endpoint()),
        ("access-key", versitygw.access_key.clone()),
        ("secret-key", versitygw.secret_key.clone()),
    ];
    rotates::<Objects>(args.map(|(name, value)| format!("--rustfs-{name}={value}")).to_vec()).await;
}

fn postgres_args(postgres: &Postgres) -> Vec<String> {
    let (address, administrator) = (postgres.server.address(), &postgres.administrator);
    vec![
        format!("--postgres-host={}", address.ip()),
        format!("--postgres-port={}", address.port()),
        format!("--postgres-user={}", administrator.user),
        format!("--postgres-password={}", administrator.password),
    ]
}

/// By which a registrar makes accounts and users on that server.
pub(crate) fn nats_args(nats: &Nats) -> Vec<String> {
    let Access::Operator(operator) = &nats.access else { panic!("{nats:?}") };
    let system = operator.system_user().unwrap();
    let creds = system.creds();
    vec![
        format!("--nats-url={}", nats.url()),
        format!("--nats-account={}", operator.account()),
        format!("--nats-signing-key={}", operator.signing_seed().unwrap()),
        format!("--nats-operator-key={}", operator.operator_seed().unwrap()),
        format!("--nats-system-creds={creds}"),
    ]
}
