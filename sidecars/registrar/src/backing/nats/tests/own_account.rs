//! The account that a tentacle has to itself: it is found again, whatever was lost, and nobody else's is touched.

use async_nats::jetstream;
use nkeys::KeyPair;
use serde_json::Value;

use super::*;

/// The account that the share's user is of.
fn account_of(share: &Share) -> String {
    jwt::account_of(share.field("creds")).unwrap()
}

/// Makes an account that says this, by the operator.
async fn put(world: &World, claims: Value) {
    let Mode::Accounts(accounts) = world.nats.settings().unwrap().mode else { panic!("no accounts") };
    let server = world.nats.settings().unwrap().server;
    let system = accounts.authority.connect(&server, &accounts.configured).await.unwrap();
    system.put(None, claims, Utc::now()).await.unwrap();
}

async fn keep(world: &World, share: &Share) {
    let tentacle = world.connect(share).await.unwrap();
    let config = jetstream::stream::Config {
        name: "kept".to_owned(),
        subjects: vec![tentacle.own("kept")],
        ..Default::default()
    };
    let jetstream = tentacle.jetstream();
    jetstream.create_stream(config).await.unwrap();
    jetstream.publish(tentacle.own("kept"), "1".into()).await.unwrap().await.unwrap();
}

/// How much is kept.
async fn kept(world: &World, share: &Share) -> u64 {
    let tentacle = world.connect(share).await.unwrap();
    let stream = tentacle.jetstream().get_stream("kept").await.unwrap();
    stream.cached_info().state.messages
}

#[tokio::test]
async fn an_apply_that_stopped_half_way_or_lost_its_secret_finds_the_account_again() {
    let Some(world) = World::start_with(&[STREAMS]).await else { return };
    let tenant = tenant("team-a", "report");
    // The account is there, and no Secret was written.
    let first = world.given(&tenant, &Fields::new()).await;
    keep(&world, &first).await;
    let later = Utc::now() + TimeDelta::seconds(2);
    let mut second = world.nats.find(&tenant, &Fields::new(), false, later).await.unwrap();
    world.nats.register(&tenant, &mut second).await.unwrap();
    assert!(second.fresh && account_of(&first) == account_of(&second));
    let mut open = world.connect(&first).await.unwrap();
    assert_eq!(kept(&world, &second).await, 1);
    // What nobody remembers ends too.
    world.nats.revoke(&tenant, &second).await.unwrap();
    open.ends().await;
    assert!(world.is_refused(&first).await);
    assert_eq!(kept(&world, &second).await, 1);
}

#[tokio::test]
async fn other_keys_find_the_account_that_was_given() {
    let Some(world) = World::start_with(&[STREAMS]).await else { return };
    let tenant = tenant("team-a", "report");
    let first = world.given(&tenant, &Fields::new()).await;
    keep(&world, &first).await;
    let (signing, configured) = (KeyPair::new_account(), KeyPair::new_account().public_key());
    let other_key = format!("--nats-signing-key={}", signing.seed().unwrap());
    let with = |further: &[&str]| {
        let (operator, given) = (operator(&world.server), further.iter().map(|further| (*further).to_owned()));
        let system = operator.system_user().unwrap();
        let all = [
            format!("--nats-url={}", world.server.url()),
            format!("--nats-operator-key={}", operator.operator_seed().unwrap()),
            format!("--nats-system-creds={}", system.creds()),
            STREAMS.to_owned(),
        ];
        from(&all.into_iter().chain(given).collect::<Vec<_>>()).unwrap().unwrap()
    };
    // Another signing key: the former works until the pods have the new one.
    let account = format!("--nats-account={}", operator(&world.server).account());
    let nats = with(&[&account, &other_key]);
    let mut second = nats.offer(&tenant, &first.fields, false).await.unwrap();
    nats.register(&tenant, &mut second).await.unwrap();
    assert!(second.fresh && account_of(&second) == account_of(&first));
    let mut open = world.connect(&first).await.unwrap();
    assert_eq!(kept(&world, &second).await, 1);
    nats.revoke(&tenant, &second).await.unwrap();
    open.ends().await;
    assert!(world.is_refused(&first).await);
    // Another configured account: the tentacle stays in its own, and who comes anew is not mixed with that.
    put(&world, json!({ "sub": configured, "name": "other", "nats": { "type": "account", "version": 2 } })).await;
    let nats = with(&[&format!("--nats-account={configured}"), &other_key]);
    let mut third = nats.offer(&tenant, &second.fields, true).await.unwrap();
    nats.register(&tenant, &mut third).await.unwrap();
    assert_eq!((account_of(&third), kept(&world, &third).await), (account_of(&first), 1));
    assert_ne!(account_of(&nats.offer(&tenant, &Fields::new(), false).await.unwrap()), account_of(&first));
    assert_eq!(nats.holders().await.unwrap(), [], "what another installation has is none of this one's");
    let removed = nats.unregister(&tenant, &third.fields).await.unwrap();
    assert_eq!(removed, Some("account removed with its streams"));
    assert!(world.is_refused(&third).await);
}

#[tokio::test]
async fn an_account_that_is_somebody_elses_is_left_alone() {
    let Some(world) = World::start().await else { return };
    let (one, two) = (tenant("team-a", "report"), tenant("team-a", "other"));
    let configured = operator(&world.server).account();
    let limits = json!({ "conn": -1, "subs": -1, "payload": -1, "data": -1 });
    let claims = |name: &str| {
        json!({
            "sub": account::key(&configured, &one),
            "name": name,
            "nats": { "type": "account", "version": 2, "limits": limits },
        })
    };
    put(&world, claims("mine")).await;
    for error in [
        world.nats.offer(&one, &Fields::new(), false).await.map(drop).unwrap_err(),
        world.nats.unregister(&one, &Fields::new()).await.map(drop).unwrap_err(),
    ] {
        assert!(
            error.to_string().ends_with("is called \"mine\" and not tentacular.team-a.report, so it is left alone")
        );
    }
    assert_eq!(world.nats.holders().await.unwrap(), []);
    // Nor is it taken by a credential that names it.
    let share = world.given(&two, &Fields::new()).await;
    let signing = operator(&world.server).signing_seed().unwrap();
    let account = account::key(&configured, &one);
    let signer = Signer { account, key: KeyPair::from_seed(&signing).unwrap(), streams: false };
    let named = signer.issue(&two, &[], (Utc::now(), Utc::now() + TimeDelta::days(1))).unwrap().creds();
    let found = world.given(&two, &[("creds".to_owned(), named)].into()).await;
    assert_eq!(account_of(&found), account_of(&share));
}

#[tokio::test]
async fn the_account_that_another_installation_gave_the_same_names_is_not_taken_by_naming_it() {
    let Some(world) = World::start().await else { return };
    let tenant = tenant("team-a", "report");
    let theirs = world.given(&tenant, &Fields::new()).await;
    // The same operator, and an account and a signing key of its own.
    let (signing, configured) = (KeyPair::new_account(), KeyPair::new_account().public_key());
    put(&world, json!({ "sub": configured, "name": "other", "nats": { "type": "account", "version": 2 } })).await;
    let system = operator(&world.server).system_user().unwrap();
    let given = [
        format!("--nats-url={}", world.server.url()),
        format!("--nats-operator-key={}", operator(&world.server).operator_seed().unwrap()),
        format!("--nats-system-creds={}", system.creds()),
        format!("--nats-account={configured}"),
        format!("--nats-signing-key={}", signing.seed().unwrap()),
    ];
    let nats = from(&given).unwrap().unwrap();
    let named = |account: String| {
        let signer = Signer { account, key: KeyPair::new_account(), streams: false };
        let forged = signer.issue(&tenant, &[], (Utc::now(), Utc::now() + TimeDelta::days(1))).unwrap();
        Fields::from([("creds".to_owned(), forged.creds())])
    };
    for account in [account_of(&theirs), "* >\r\n".to_owned(), String::new()] {
        let forged = named(account);
        let mut own = nats.offer(&tenant, &forged, false).await.unwrap();
        nats.register(&tenant, &mut own).await.unwrap();
        assert_ne!(account_of(&own), account_of(&theirs));
        assert_eq!(nats.unregister(&tenant, &forged).await.unwrap(), Some("account removed with its streams"));
    }
    assert!(!world.nats.offer(&tenant, &theirs.fields, false).await.unwrap().fresh);
}

#[tokio::test]
async fn accounts_that_the_server_has_lost_come_back_and_revive_nothing() {
    let Some(mut world) = World::start_with(&[STREAMS]).await else { return };
    let tenant = tenant("team-a", "report");
    let first = world.given(&tenant, &Fields::new()).await;
    keep(&world, &first).await;
    let mut second = world.nats.offer(&tenant, &first.fields, true).await.unwrap();
    world.nats.register(&tenant, &mut second).await.unwrap();
    world.nats.revoke(&tenant, &second).await.unwrap();
    world.server.server.kill().await.unwrap();
    world.server.forget_accounts().unwrap();
    world.server.server.restart().await.unwrap();
    assert!(world.is_refused(&second).await);
    assert_eq!(world.nats.holders().await.unwrap(), []);
    let third = world.given(&tenant, &second.fields).await;
    assert!(third.fresh && account_of(&third) == account_of(&first));
    assert_eq!(kept(&world, &third).await, 1, "the streams were not lost");
    for former in [&first, &second] {
        assert!(world.is_refused(former).await);
    }
}

#[tokio::test]
async fn who_has_an_account_is_known_without_any_secret() {
    let Some(world) = World::start().await else { return };
    let before = Utc::now() - TimeDelta::seconds(2);
    let mut tenants = Tenant::hostile();
    tenants.sort();
    for tenant in &tenants {
        let share = world.given(tenant, &Fields::new()).await;
        let mut renewed = world.nats.offer(tenant, &share.fields, true).await.unwrap();
        world.nats.register(tenant, &mut renewed).await.unwrap();
        world.nats.revoke(tenant, &renewed).await.unwrap();
    }
    let mut holders = world.nats.holders().await.unwrap();
    holders.sort_by(|one, other| one.tenant.cmp(&other.tenant));
    let found: Vec<_> = holders.iter().map(|holder| holder.tenant.clone()).collect();
    assert_eq!(found, tenants);
    for holder in &holders {
        let own = account::key(&operator(&world.server).account(), &holder.tenant);
        assert_eq!(holder.name, format!("account {own}"));
        assert!(holder.since.is_some_and(|since| since >= before && since <= Utc::now()), "{holder:?}");
    }
    for (tenant, left) in tenants.iter().zip((0..tenants.len()).rev()) {
        for done in [Some("account removed with its streams"), None] {
            assert_eq!(world.nats.unregister(tenant, &Fields::new()).await.unwrap(), done);
        }
        assert_eq!(world.nats.holders().await.unwrap().len(), left);
    }
    assert!(of(&world.server, &[]).holders().await.unwrap_err().to_string().contains("no record"));
}

#[tokio::test]
async fn an_account_that_the_server_does_not_delete_is_closed_and_opened_again() {
    let keeping = services::Nats::with_operator_and(&json!({ "resolver": { "allow_delete": false } })).await.unwrap();
    let Some(world) = keeping.map(|server| World::start_on(server, &[STREAMS])) else { return };
    let tenant = tenant("team-a", "report");
    let share = world.given(&tenant, &Fields::new()).await;
    keep(&world, &share).await;
    let mut open = world.connect(&share).await.unwrap();
    for done in [Some("account removed with its streams"), None] {
        assert_eq!(world.nats.unregister(&tenant, &share.fields).await.unwrap(), done);
    }
    open.ends().await;
    assert!(world.is_refused(&share).await);
    assert_eq!(world.nats.holders().await.unwrap(), []);
    let later = Utc::now() + TimeDelta::seconds(2);
    let mut anew = world.nats.find(&tenant, &Fields::new(), false, later).await.unwrap();
    world.nats.register(&tenant, &mut anew).await.unwrap();
    assert!(world.is_refused(&share).await);
    keep(&world, &anew).await;
    assert_eq!((kept(&world, &anew).await, world.nats.holders().await.unwrap().len()), (1, 1));
}
