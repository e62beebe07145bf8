//! How much a tentacle may keep in streams, and how long.

use async_nats::jetstream::{consumer, stream};
use futures::TryStreamExt as _;

use super::{
    own_streams::{keep, names},
    *,
};

#[tokio::test]
async fn a_tentacle_has_no_more_than_its_account_allows() {
    let larger = services::Nats::with_operator_and(&json!({ "max_payload": 4 << 20 })).await.unwrap();
    let few = [STREAMS, "--nats-jetstream-streams=2", "--nats-jetstream-consumers=1"];
    let Some(world) = larger.map(|server| World::start_on(server, &few)) else { return };
    let share = world.given(&tenant("team-a", "report"), &Fields::new()).await;
    let mut tentacle = world.connect(&share).await.unwrap();
    let jetstream = keep(&tentacle, "one").await;
    let named = |name: &str| stream::Config { name: name.to_owned(), ..Default::default() };
    let second = consumer::pull::Config { durable_name: Some("d".to_owned()), ..Default::default() };
    let error = jetstream.create_consumer_on_stream(second, "one").await.unwrap_err();
    assert!(error.to_string().contains("maximum consumers"), "{error}");
    let memory = stream::Config { storage: stream::StorageType::Memory, ..named("two") };
    let error = jetstream.create_stream(memory).await.unwrap_err();
    assert!(error.to_string().contains("resource"), "{error}");
    jetstream.create_stream(named("two")).await.unwrap();
    let error = jetstream.create_stream(named("three")).await.unwrap_err();
    assert!(error.to_string().contains("maximum number of streams"), "{error}");
    let mut acknowledged = 0;
    let error = loop {
        let sent = jetstream.publish(tentacle.own("kept.big"), vec![7_u8; 300_000].into()).await.unwrap();
        match sent.await {
            Ok(_) if acknowledged == 4 => panic!("there is room for more than a MiB"),
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert!(acknowledged == 3 && error.to_string().contains("resource"), "{acknowledged}: {error}");

    let mut open = Vec::new();
    for _ in 0..1_000 {
        open.push(tentacle.client.subscribe(tentacle.own("many")).await.unwrap());
    }
    let objection = tentacle.objection().await;
    assert!(objection.contains("maximum subscriptions exceeded"), "{objection}");
    let others = futures::stream::iter((1..100).map(|_| world.connect(&share))).buffer_unordered(8);
    let mut others: Vec<_> = others.try_collect().await.unwrap();
    assert!(world.connect(&share).await.is_err(), "one connection more");
    // The server ends the connection in the middle of the message, so that what it says of it may not arrive.
    let [sender, other, ..] = &mut *others else { panic!("there are too few") };
    let mut heard = other.all().await;
    sender.client.publish(sender.own("large"), vec![7_u8; 2 << 20].into()).await.unwrap();
    sender.ends().await;
    other.client.publish(other.own("small"), "1".into()).await.unwrap();
    assert_eq!(next(&mut heard).await.unwrap().0, other.own("small"));
}

#[tokio::test]
async fn streams_stay_when_credentials_change_and_go_with_the_tentacle() {
    let Some(mut world) = World::start_with(&[STREAMS]).await else { return };
    let (tenant, other) = (tenant("team-a", "report"), tenant("team-a", "other"));
    let (first, others) = (world.given(&tenant, &Fields::new()).await, world.given(&other, &Fields::new()).await);
    let kept = keep(&world.connect(&others).await.unwrap(), "orders").await;
    let mut open = world.connect(&first).await.unwrap();
    keep(&open, "orders").await;
    let mut renewed = world.nats.offer(&tenant, &first.fields, true).await.unwrap();
    world.nats.register(&tenant, &mut renewed).await.unwrap();
    world.nats.revoke(&tenant, &renewed).await.unwrap();
    open.ends().await;
    let mut session = world.connect(&renewed).await.unwrap();
    assert_eq!(names(&session.jetstream()).await, ["orders"]);
    world.server.server.restart().await.unwrap();
    session.ends().await;
    let session = world.connect(&renewed).await.unwrap();
    assert_eq!(names(&session.jetstream()).await, ["orders"]);

    // An installation that gives no streams any more hides them, and removes them all the same.
    let without = with_accounts(&world.server, &[]);
    let mut hidden = without.offer(&tenant, &renewed.fields, false).await.unwrap();
    without.register(&tenant, &mut hidden).await.unwrap();
    assert!(hidden.fresh);
    for done in [Some("account removed with its streams"), None] {
        assert_eq!(without.unregister(&tenant, &hidden.fields).await.unwrap(), done);
    }
    let anew = world.given(&tenant, &hidden.fields).await;
    let tentacle = world.connect(&anew).await.unwrap();
    assert_eq!(names(&tentacle.jetstream()).await, [""; 0]);
    for former in [&first, &renewed, &hidden] {
        assert!(world.is_refused(former).await);
    }
    let others = world.connect(&others).await.unwrap();
    assert_eq!(names(&others.jetstream()).await, ["orders"]);
    drop(kept);
}

#[tokio::test]
async fn a_removal_that_stopped_half_way_is_finished_or_taken_back() {
    let Some(world) = World::start_with(&[STREAMS]).await else { return };
    let tenant = tenant("team-a", "report");
    let share = world.given(&tenant, &Fields::new()).await;
    keep(&world.connect(&share).await.unwrap(), "orders").await;
    // Everybody is locked out, and nothing is removed yet.
    let Settings { server, mode } = world.nats.settings().unwrap();
    let Mode::Accounts(accounts) = mode else { panic!("no accounts") };
    let halve = async |current: &Share| {
        let system = accounts.authority.connect(&server, &accounts.configured).await.unwrap();
        let key = jwt::account_of(current.field("creds")).unwrap();
        let found = system.find(&key).await.unwrap();
        let terms = account::Terms::read(found.as_ref().unwrap());
        let terms =
            account::Terms { ended: Utc::now().timestamp() + 1, allowance: allowance::Allowance::ALL, ..terms };
        assert!(system.put(found.as_ref(), terms.claims(&key, &tenant), Utc::now()).await.unwrap());
    };
    halve(&share).await;
    assert!(world.is_refused(&share).await);
    let again = world.given(&tenant, &share.fields).await;
    let tentacle = world.connect(&again).await.unwrap();
    assert_eq!(names(&tentacle.jetstream()).await, ["orders"]);
    halve(&again).await;
    let removed = world.nats.unregister(&tenant, &again.fields).await.unwrap();
    assert_eq!(removed, Some("account removed with its streams"));
    let anew = world.given(&tenant, &again.fields).await;
    let tentacle = world.connect(&anew).await.unwrap();
    assert_eq!(names(&tentacle.jetstream()).await, [""; 0]);
}

#[tokio::test]
async fn room_that_is_changed_counts_for_credentials_of_days_ago() {
    let Some(world) = World::start_with(&[STREAMS]).await else { return };
    let tenant = tenant("team-a", "report");
    let ago = Utc::now() - TimeDelta::days(3);
    let mut first = world.nats.find(&tenant, &Fields::new(), false, ago).await.unwrap();
    world.nats.register(&tenant, &mut first).await.unwrap();
    let larger = with_accounts(&world.server, &["--nats-jetstream-disk-mib=2"]);
    let mut same = larger.offer(&tenant, &first.fields, false).await.unwrap();
    assert!(!same.fresh);
    larger.register(&tenant, &mut same).await.unwrap();
    let jetstream = world.connect(&same).await.unwrap().jetstream();
    assert_eq!(jetstream.query_account().await.unwrap().limits.max_storage, Some(2 << 20));
}
