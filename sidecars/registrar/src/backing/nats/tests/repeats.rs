//! What is done again changes nothing, and credentials end when they must.

use super::*;

#[tokio::test]
async fn a_credential_that_works_is_kept_and_another_is_replaced() {
    let Some(world) = World::start().await else { return };
    let (tenant, other) = (tenant("team-a", "report"), tenant("team-a", "other"));
    let first = world.given(&tenant, &Fields::new()).await;
    assert!(first.fresh);
    let again = world.given(&tenant, &first.fields).await;
    assert!(!again.fresh && again.fields == first.fields && again.contract == first.contract);
    // Another's credential in the Secret, however it came there, gives nobody anything, and is not revoked for it.
    let stolen = world.given(&other, &first.fields).await;
    assert!(stolen.fresh && stolen.field("creds") != first.field("creds"));
    world.nats.revoke(&other, &stolen).await.unwrap();
    world.connect(&first).await.unwrap();
    // Nor does one that somebody signed by a key of his own, or cut.
    let now = Utc::now();
    let forged = |account: String| {
        let signer = Signer { account, key: nkeys::KeyPair::new_account(), streams: false };
        signer.issue(&tenant, &[], (now, now + TimeDelta::days(90))).unwrap().creds()
    };
    let forged = [
        forged(operator(&world.server).account()),
        forged(jwt::account_of(first.field("creds")).unwrap()),
        forged(nkeys::KeyPair::new_account().public_key()),
        String::new(),
        "x".to_owned(),
        first.field("creds")[..200].to_owned(),
    ];
    for creds in forged {
        let mut wrong = first.fields.clone();
        wrong.insert("creds".to_owned(), creds);
        let replaced = world.given(&tenant, &wrong).await;
        assert!(replaced.fresh);
        world.connect(&replaced).await.unwrap();
    }
}

#[tokio::test]
async fn a_credential_is_renewed_while_the_former_ones_still_work() {
    let Some(world) = World::start().await else { return };
    let tenant = tenant("team-a", "report");
    let mut first = world.given(&tenant, &Fields::new()).await;
    let mut second = world.nats.offer(&tenant, &first.fields, true).await.unwrap();
    let mut third = world.nats.offer(&tenant, &second.fields, true).await.unwrap();
    let mut sessions = Vec::new();
    for share in [&mut first, &mut second, &mut third] {
        world.nats.register(&tenant, share).await.unwrap();
        sessions.push(world.connect(share).await.unwrap());
    }
    let mut last = sessions.pop().unwrap();
    let mut heard = last.all().await;
    world.nats.revoke(&tenant, &third).await.unwrap();
    world.nats.revoke(&tenant, &third).await.unwrap();
    for session in &mut sessions {
        session.ends().await;
    }
    assert!(world.is_refused(&first).await && world.is_refused(&second).await);
    last.client.publish(last.own("on"), "".into()).await.unwrap();
    assert_eq!(next(&mut heard).await.unwrap().0, last.own("on"), "it goes on");
    assert!(!world.nats.offer(&tenant, &third.fields, false).await.unwrap().fresh);
    // What was revoked is not offered again.
    let anew = world.given(&tenant, &first.fields).await;
    assert!(anew.fresh);
    world.connect(&anew).await.unwrap();
}

#[tokio::test]
async fn what_was_removed_is_refused_and_removing_it_again_is_no_error() {
    let Some(mut world) = World::start().await else { return };
    let (tenant, other) = (tenant("team-a", "report"), tenant("team-a", "repor"));
    let (share, others) = (world.given(&tenant, &Fields::new()).await, world.given(&other, &Fields::new()).await);
    let (mut open, mut kept) = (world.connect(&share).await.unwrap(), world.connect(&others).await.unwrap());
    let mut heard = kept.all().await;
    for _ in 0..2 {
        world.nats.unregister(&tenant, &share.fields).await.unwrap();
    }
    assert_eq!(world.nats.unregister(&tenant, &Fields::new()).await.unwrap(), None);
    open.ends().await;
    assert!(world.is_refused(&share).await);
    kept.client.publish(kept.own("on"), "".into()).await.unwrap();
    assert_eq!(next(&mut heard).await.unwrap().0, kept.own("on"), "another's connection goes on");
    world.server.server.restart().await.unwrap();
    assert!(world.is_refused(&share).await, "the server knows it for good");
    world.connect(&others).await.unwrap();
    let anew = world.given(&tenant, &share.fields).await;
    assert!(anew.fresh && world.is_refused(&share).await);
    world.connect(&anew).await.unwrap();
}

#[tokio::test]
async fn many_are_removed_at_once() {
    let Some(world) = World::start().await else { return };
    let tenants: Vec<_> = (0..16).map(|number| tenant("team-a", &format!("t{number}"))).collect();
    let mut shares = Vec::new();
    for tenant in &tenants {
        shares.push(world.given(tenant, &Fields::new()).await);
    }
    let removed = tenants.iter().zip(&shares).map(|(tenant, share)| world.nats.unregister(tenant, &share.fields));
    for removed in futures::future::join_all(removed).await {
        assert_eq!(removed.unwrap(), Some("account removed with its streams"));
    }
    for share in &shares {
        assert!(world.is_refused(share).await);
    }
}

#[tokio::test]
async fn a_credential_is_renewed_in_the_last_third_of_its_time() {
    let Some(server) = services::Nats::with_operator().await.unwrap() else { return };
    let nats = of(&server, &["--nats-credential-days=3".to_owned()]);
    let tenant = tenant("team-a", "report");
    let now = Utc::now();
    let first = nats.find(&tenant, &Fields::new(), false, now).await.unwrap();
    for (hours, renewed) in [(0, false), (47, false), (49, true), (71, true), (73, true)] {
        let later = now + TimeDelta::hours(hours);
        let found = nats.find(&tenant, &first.fields, false, later).await.unwrap();
        assert_eq!(found.fresh, renewed, "after {hours} hours");
        let Mode::Shared(shared) = nats.settings().unwrap().mode else { panic!("not by users") };
        let known = shared.signer.read(&tenant, found.field("creds")).unwrap();
        // One that has expired needs no end.
        assert_eq!(known.replaced(later).len(), usize::from(renewed && hours < 72), "after {hours} hours");
    }
}

#[tokio::test]
async fn an_expired_credential_is_refused_and_its_connection_ended() {
    let Some(world) = World::start().await else { return };
    let tenant = tenant("team-a", "report");
    let share = world.given(&tenant, &Fields::new()).await;
    let signing = operator(&world.server).signing_seed().unwrap();
    let account = jwt::account_of(share.field("creds")).unwrap();
    let signer = Signer { account, key: nkeys::KeyPair::from_seed(&signing).unwrap(), streams: false };
    let until = |expires| {
        let creds = signer.issue(&tenant, &[], (Utc::now(), expires)).unwrap().creds();
        let mut fields = share.fields.clone();
        fields.insert("creds".to_owned(), creds);
        Share {
            fields,
            contract: Vec::new(),
            endpoint: share.endpoint.clone(),
            whereabouts: share.whereabouts.clone(),
            ..share
        }
    };
    assert!(world.is_refused(&until(Utc::now() - TimeDelta::seconds(1))).await);
    let soon = until(Utc::now() + TimeDelta::seconds(10));
    let soon_after = Utc::now() + TimeDelta::minutes(2);
    let mut open = world.connect(&soon).await.unwrap();
    open.ends().await;
    // In its last second it still counts.
    while !world.is_refused(&soon).await {
        assert!(Utc::now() < soon_after, "it is admitted");
    }
    assert!(world.given(&tenant, &soon.fields).await.fresh);
}
