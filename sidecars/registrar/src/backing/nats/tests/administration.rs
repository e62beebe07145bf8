//! Settings, and a server that is away, refuses, or has one token for all.

use std::fs;

use tentacular_test_harness::{Scratch, TcpFault, TcpProxy};

use super::*;
use crate::backing::service::unavailable;

/// Why the server refuses a call, in a test where nothing else is right.
fn refused(result: Result<impl Sized, Failure>) -> String {
    match result {
        Err(Failure::Refused(why)) => why,
        Err(Failure::Unavailable(why)) => panic!("unavailable: {why}"),
        Ok(_) => panic!("it was done"),
    }
}

#[tokio::test]
async fn a_server_that_was_away_is_used_again() {
    let Some(mut world) = World::start().await else { return };
    let tenant = tenant("team-a", "report");
    let share = world.given(&tenant, &Fields::new()).await;
    let mut renewed = world.nats.offer(&tenant, &share.fields, true).await.unwrap();
    assert!(renewed.fresh);
    world.server.server.kill().await.unwrap();
    let why = unavailable(world.nats.probe().await);
    assert!(why.contains("refused"), "{why}");
    unavailable(world.nats.offer(&tenant, &share.fields, false).await);
    unavailable(world.nats.register(&tenant, &mut renewed).await);
    unavailable(world.nats.revoke(&tenant, &renewed).await);
    unavailable(world.nats.holders().await);
    unavailable(world.nats.unregister(&tenant, &share.fields).await);
    world.server.server.restart().await.unwrap();
    assert!(!world.given(&tenant, &share.fields).await.fresh, "what was given still works");
    world.nats.revoke(&tenant, &renewed).await.unwrap();
    assert!(world.is_refused(&share).await);
    world.connect(&renewed).await.unwrap();
}

#[tokio::test]
async fn a_server_that_does_not_answer_holds_nobody_up_for_long() {
    let Some(world) = World::start().await else { return };
    let tenant = tenant("team-a", "report");
    let share = world.given(&tenant, &Fields::new()).await;
    world.server.server.pause().unwrap();
    let (probed, offered, removed) = futures::join!(
        world.nats.probe(),
        world.nats.offer(&tenant, &share.fields, false),
        world.nats.unregister(&tenant, &share.fields)
    );
    for why in [unavailable(probed), unavailable(offered), unavailable(removed)] {
        assert!(why.contains("did not answer within 10 s") || why.contains("timed out"), "{why}");
    }
    world.server.server.resume().unwrap();
    assert!(!world.given(&tenant, &share.fields).await.fresh);
}

/// What a server says that needs more than two seconds to refuse a client.
const REFUSED_LATE: &[u8] =
    b"INFO {\"server_id\":\"N\",\"version\":\"2.15.1\",\"max_payload\":1048576,\"nonce\":\"n\"}\r\n\
                              PING\r\n-ERR 'Authorization Violation'\r\n";

#[tokio::test]
async fn whom_a_slow_server_refuses_has_not_been_admitted() {
    let Some(server) = services::Nats::with_operator().await.unwrap() else { return };
    let proxy = TcpProxy::start(server.server.address()).unwrap();
    let operator = operator(&server);
    let nats = from(&[
        format!("--nats-url=nats://{}", proxy.address()),
        format!("--nats-account={}", operator.account()),
        format!("--nats-signing-key={}", operator.signing_seed().unwrap()),
    ]);
    let (nats, tenant) = (nats.unwrap().unwrap(), tenant("team-a", "report"));
    let share = nats.offer(&tenant, &Fields::new(), false).await.unwrap();
    assert!(share.fresh && !nats.offer(&tenant, &share.fields, false).await.unwrap().fresh);
    proxy.mend();
    nats.probe().await.unwrap();
    // The tentacle's connection is made after the one by which the server is probed.
    let probing = proxy.exchanges();
    proxy.fail(probing..probing + 1, TcpFault::Answer(REFUSED_LATE.to_vec()));
    assert!(nats.offer(&tenant, &share.fields, false).await.unwrap().fresh, "what is refused is replaced");
    assert!(proxy.mend(), "nobody was refused");
}

#[tokio::test]
async fn it_is_said_how_far_tentacles_are_kept_apart_and_what_cannot_be_revoked() {
    let Some(world) = World::start().await else { return };
    let with_streams = with_accounts(&world.server, &[STREAMS]);
    let without = of(&world.server, &[]);
    for (nats, reason) in [(&with_streams, None), (&world.nats, Some(NO_STREAMS)), (&without, Some(ONE_ACCOUNT))] {
        let kept = nats.probe().await.unwrap();
        assert_eq!((kept.isolation, kept.reason.as_deref()), (Isolation::Full, reason));
    }
    let tenant = tenant("team-a", "report");
    let first = without.offer(&tenant, &Fields::new(), false).await.unwrap();
    without.revoke(&tenant, &first).await.unwrap();
    let second = without.offer(&tenant, &first.fields, true).await.unwrap();
    let error = without.revoke(&tenant, &second).await.unwrap_err();
    let until = (Utc::now() + TimeDelta::days(90)).format("%Y-%m").to_string();
    assert!(
        matches!(&error, Failure::Refused(why) if why.starts_with(&format!("the former credential works until {until}"))),
        "{error}"
    );
    let removed = without.unregister(&tenant, &second.fields).await.unwrap();
    assert_eq!(removed, Some("credential left, which works until it expires"));
    world.connect(&second).await.unwrap();
    // With what it lacked it ends both.
    assert_eq!(world.nats.unregister(&tenant, &second.fields).await.unwrap(), Some("credential revoked"));
    assert!(world.is_refused(&first).await && world.is_refused(&second).await);
}

#[tokio::test]
async fn keys_that_the_server_does_not_know_are_not_taken_for_good() {
    let Some(world) = World::start().await else { return };
    let other = services::Nats::with_operator().await.unwrap().unwrap();
    let operator = operator(&other);
    let url = format!("--nats-url={}", world.server.url());
    let account = format!("--nats-account={}", operator.account());
    let signing_key = format!("--nats-signing-key={}", operator.signing_seed().unwrap());
    let foreign = from(&[url, account, signing_key]).unwrap().unwrap();
    let why = unavailable(foreign.probe().await);
    assert!(why.contains("authorization violation"), "{why}");
    unavailable(foreign.offer(&tenant("team-a", "report"), &Fields::new(), false).await);
    // An operator whom this server does not trust changes none of its accounts.
    let system = super::operator(&world.server).system_user().unwrap();
    let distrusted = of(
        &world.server,
        &[
            format!("--nats-operator-key={}", operator.operator_seed().unwrap()),
            format!("--nats-system-creds={}", system.creds()),
        ],
    );
    let tenant = tenant("team-a", "report");
    let share = world.given(&tenant, &Fields::new()).await;
    for why in [
        refused(distrusted.probe().await),
        refused(distrusted.offer(&tenant, &share.fields, false).await),
        refused(distrusted.revoke(&tenant, &share).await),
        refused(distrusted.unregister(&tenant, &share.fields).await),
        refused(distrusted.holders().await),
    ] {
        assert!(why.contains("give the seed of that key as operator_key"), "{why}");
    }
    world.connect(&share).await.unwrap();
    // A user who is none of the system account.
    let user = super::operator(&world.server).user(&[">"]).unwrap();
    let powerless = of(
        &world.server,
        &[
            format!("--nats-operator-key={}", super::operator(&world.server).operator_seed().unwrap()),
            format!("--nats-system-creds={}", user.creds()),
        ],
    );
    for why in [
        refused(powerless.probe().await),
        refused(powerless.offer(&tenant, &share.fields, false).await),
        refused(powerless.unregister(&tenant, &share.fields).await),
    ] {
        assert!(why.starts_with("it takes no changes of accounts: that needs system_creds"), "{why}");
    }
    world.connect(&share).await.unwrap();
}

#[tokio::test]
async fn a_server_without_room_for_streams_gives_none_and_that_is_said() {
    let none = services::Nats::with_operator_and(&json!({ "jetstream": false })).await.unwrap();
    let Some(world) = none.map(|server| World::start_on(server, &[STREAMS])) else { return };
    let tenant = tenant("team-a", "report");
    assert_eq!(unavailable(world.nats.probe().await), "it has no JetStream, of which tentacles are to have some");
    let mut share = world.nats.offer(&tenant, &Fields::new(), false).await.unwrap();
    let why = refused(world.nats.register(&tenant, &mut share).await);
    assert!(why.contains(" no streams: no server has JetStream"), "{why}");
    let why = unavailable(world.nats.unregister(&tenant, &Fields::new()).await);
    assert!(why.contains("no JetStream now"), "{why}");
    // As long as nobody is to have streams it does.
    let without = with_accounts(&world.server, &[]);
    let removed = without.unregister(&tenant, &Fields::new()).await.unwrap();
    assert_eq!(removed, Some("account removed with its streams"));
    without.probe().await.unwrap();
    let mut share = without.offer(&tenant, &Fields::new(), false).await.unwrap();
    without.register(&tenant, &mut share).await.unwrap();

    let small = json!({ "jetstream": { "max_file_store": 3 << 19 } });
    let small = services::Nats::with_operator_and(&small).await.unwrap();
    let Some(world) = small.map(|server| World::start_on(server, &[STREAMS])) else { return };
    world.given(&tenant, &Fields::new()).await;
    let other = super::tenant("team-a", "other");
    let mut share = world.nats.offer(&other, &Fields::new(), false).await.unwrap();
    let why = refused(world.nats.register(&other, &mut share).await);
    assert!(why.contains(" no streams: ") && why.contains("nats-jetstream-disk-mib"), "{why}");
    // It has what the other one gives back.
    world.nats.unregister(&tenant, &Fields::new()).await.unwrap();
    world.nats.unregister(&other, &Fields::new()).await.unwrap();
    world.given(&other, &Fields::new()).await;
}

#[tokio::test]
async fn one_token_for_all_keeps_nobody_apart_and_that_is_said() {
    let Some(mut server) = services::Nats::with_token().await.unwrap() else { return };
    let Access::Token(token) = &server.access else { panic!("{server:?}") };
    let folder = Scratch::new().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), format!("{text}\n")).unwrap();
    write("url", &server.url());
    write("token", token);
    let nats = from(&[format!("--nats-path={}", folder.path().display())]).unwrap().unwrap();
    let kept = nats.probe().await.unwrap();
    assert_eq!((kept.isolation, kept.reason.as_deref()), (Isolation::None, Some(ONE_TOKEN)));
    let (one, two) = (tenant("a-b", "c"), tenant("a", "b-c"));
    let (mut first, second) = (
        nats.offer(&one, &Fields::new(), false).await.unwrap(),
        nats.offer(&two, &Fields::new(), true).await.unwrap(),
    );
    assert!(!first.fresh && first.field("token") == token && second.field("token") == token);
    let names: Vec<_> = first.fields.keys().map(String::as_str).collect();
    assert_eq!(names, ["auth_method", "protocol", "subject_prefix", "token", "url"]);
    assert_eq!(
        (first.field("subject_prefix"), second.field("subject_prefix")),
        ("tentacular.a-b.c.>", "tentacular.a.b-c.>")
    );
    nats.register(&one, &mut first).await.unwrap();
    let mut tentacle = connect_as(&server, &first).await.unwrap();
    drop(tentacle.all().await);
    nats.revoke(&one, &first).await.unwrap();
    assert_eq!(nats.unregister(&one, &first.fields).await.unwrap(), Some("no-op, as all tentacles share one token"));
    // A token that was changed counts at once.
    write("token", "wrong");
    let why = unavailable(nats.probe().await);
    assert!(why.contains("authorization violation") && !why.contains("wrong"), "{why}");
    write("token", token);
    nats.probe().await.unwrap();
    server.server.kill().await.unwrap();
    unavailable(nats.offer(&one, &Fields::new(), false).await);
}

#[tokio::test]
async fn the_certificate_is_checked_against_the_authority() {
    let Some(server) = services::Nats::with_operator().await.unwrap() else { return };
    let folder = Scratch::new().unwrap();
    let (ours, others) = (folder.path().join("ours.pem"), folder.path().join("others.pem"));
    fs::write(&ours, server.authority_pem()).unwrap();
    fs::write(&others, tentacular_test_harness::tls::Authority::new().unwrap().pem()).unwrap();
    let tls = format!("--nats-url={}", server.url().replace("nats://", "tls://"));
    let (account, key) = (operator(&server).account(), operator(&server).signing_seed().unwrap());
    let with = |authority: &std::path::Path| {
        let authority = format!("--nats-ca-file={}", authority.display());
        from(&[&tls, &format!("--nats-account={account}"), &format!("--nats-signing-key={key}"), &authority])
    };
    with(&ours).unwrap().unwrap().probe().await.unwrap();
    let why = unavailable(with(&others).unwrap().unwrap().probe().await);
    assert!(why.contains("TLS") || why.contains("certificate"), "{why}");
    let error = with(&folder.path().join("none.pem")).unwrap_err().to_string();
    assert!(error.contains("none.pem cannot be read"), "{error}");
}

#[test]
fn what_is_missing_or_wrong_is_named_and_no_secret_shows() {
    let none: [&str; 0] = [];
    assert!(from(&none).unwrap().is_none());
    let account = nkeys::KeyPair::new_account();
    let (public, seed) = (format!("--nats-account={}", account.public_key()), account.seed().unwrap());
    let signing = format!("--nats-signing-key={seed}");
    let url = "--nats-url=nats://n:4222";
    for (given, problem) in [
        (&[url][..], settings::NO_METHOD),
        (&["--nats-token=hunter2"], "nats partially configured, missing: url"),
        (&[url, &signing], "nats partially configured, missing: account"),
        (&[&public], "nats partially configured, missing: url, signing_key"),
        (
            &[url, &public, &signing, "--nats-operator-key=hunter2"],
            "nats partially configured, missing: system_creds; ",
        ),
        (
            &[url, &public, &signing, "--nats-system-creds=hunter2"],
            "nats partially configured, missing: operator_key",
        ),
        (
            &[url, &public, &signing, STREAMS],
            "nats-jetstream-disk-mib and nats-jetstream-memory-mib need operator_key",
        ),
        (&[url, "--nats-token=x", "--nats-jetstream-memory-mib=1"], "nats-jetstream-disk-mib and "),
        (&[url, &public, "--nats-signing-key=hunter2"], "the NATS signing_key is no seed of an account's key (SA…)"),
        (&[url, "--nats-account=hunter2", &signing], "the NATS account is no public key of an account (A…)"),
        (&[url, &public, &signing, "--nats-token=hunter2"], "give NATS a token or a signing key, not both"),
        (&["--nats-url=nats://u:hunter2@n", "--nats-token=x"], "the NATS url holds a credential; give that as token"),
        (&["--nats-url=nats://hunter2@n", "--nats-token=x"], "the NATS url holds a credential; give that as token"),
        (&["--nats-url=http://n", "--nats-token=x"], "the NATS url is none, as nats://host:port"),
        (&["--nats-url=wss://n", "--nats-token=x"], "the NATS url must be that of one server, "),
        (&["--nats-url=nats://a:1,nats://b:1", "--nats-token=x"], "the NATS url "),
        (&["--nats-url=nats://", "--nats-token=x"], "the NATS url "),
    ] {
        let error = from(given).unwrap_err().to_string();
        assert!(error.starts_with(problem), "{given:?}: {error}");
        assert!(!error.contains("hunter2") && !error.contains(&seed), "{error}");
    }
    let both = "nats partially configured, missing: system_creds; the NATS account is no public key of an account (A…); the NATS \
                operator_key is no seed of an operator's key (SO…)";
    let given = [url, "--nats-account=x", &signing, "--nats-operator-key=x"];
    assert_eq!(from(&given).unwrap_err().to_string(), both);
    let error = parsed(&[url, "--nats-spiffe=true", STREAMS]).server_alone().err().unwrap();
    assert!(error.starts_with("nats-jetstream-disk-mib and "), "{error}");
    let nats = from(&[url, &public, &signing]).unwrap().unwrap();
    let shown = format!("{nats:?}");
    assert!(shown.contains("nats://n:4222") && !shown.contains(&seed), "{shown}");
}
