//! `JetStream` in an account of a tentacle's own: all of it works there, and nothing of it reaches another's.

use async_nats::{
    RequestErrorKind,
    jetstream::{Context, consumer, kv, object_store, stream},
};
use futures::TryStreamExt as _;
use serde_json::Value;
use tentacular_test_harness::services::round_trip;

use super::*;

/// A stream of that name of all that is published on the tentacle's subjects under `kept`, with a consumer.
pub(super) async fn keep(tentacle: &Tentacle, name: &str) -> Context {
    let jetstream = tentacle.jetstream();
    let config =
        stream::Config { name: name.to_owned(), subjects: vec![tentacle.own("kept.>")], ..Default::default() };
    let stream = jetstream.create_stream(config).await.unwrap();
    let durable = consumer::pull::Config { durable_name: Some("c".to_owned()), ..Default::default() };
    stream.create_consumer(durable).await.unwrap();
    jetstream.publish(tentacle.own("kept.1"), "mine".into()).await.unwrap().await.unwrap();
    jetstream
}

pub(super) async fn names(jetstream: &Context) -> Vec<String> {
    jetstream.stream_names().try_collect().await.unwrap()
}

#[tokio::test]
async fn a_tentacle_keeps_messages_keys_and_objects() {
    let Some(world) = World::start_with(&[STREAMS]).await else { return };
    for tenant in Tenant::hostile() {
        let share = world.given(&tenant, &Fields::new()).await;
        let mut tentacle = world.connect(&share).await.unwrap();
        let jetstream = keep(&tentacle, "orders").await;
        let pull: consumer::PullConsumer =
            jetstream.get_stream("orders").await.unwrap().get_consumer("c").await.unwrap();
        let mut batch = pull.fetch().max_messages(1).messages().await.unwrap();
        let message = batch.next().await.unwrap().unwrap();
        assert_eq!((message.subject.as_str(), &message.payload[..]), (&*tentacle.own("kept.1"), &b"mine"[..]));
        message.double_ack().await.unwrap();
        let push =
            consumer::push::OrderedConfig { deliver_subject: tentacle.client.new_inbox(), ..Default::default() };
        let ordered = jetstream.get_stream("orders").await.unwrap().create_consumer(push).await.unwrap();
        let pushed = timeout(HANGS, ordered.messages().await.unwrap().next()).await.unwrap().unwrap().unwrap();
        assert_eq!(pushed.payload, "mine");

        let config = kv::Config { bucket: "state".to_owned(), history: 2, ..Default::default() };
        let keys = jetstream.create_key_value(config).await.unwrap();
        let mut watch = keys.watch("k").await.unwrap();
        keys.put("k", "v".into()).await.unwrap();
        assert_eq!(timeout(HANGS, watch.next()).await.unwrap().unwrap().unwrap().value, "v");
        assert_eq!(keys.get("k").await.unwrap().unwrap(), "v");
        keys.delete("k").await.unwrap();
        assert_eq!(keys.get("k").await.unwrap(), None);

        let config = object_store::Config { bucket: "files".to_owned(), ..Default::default() };
        let objects = jetstream.create_object_store(config).await.unwrap();
        objects.put("big", &mut vec![7_u8; 200_000].as_slice()).await.unwrap();
        assert_eq!(objects.info("big").await.unwrap().size, 200_000);
        objects.delete("big").await.unwrap();
        jetstream.delete_object_store("files").await.unwrap();
        jetstream.delete_key_value("state").await.unwrap();
        assert_eq!(names(&jetstream).await, ["orders"]);
        while let Ok(event) = tentacle.events.try_recv() {
            assert!(!matches!(event, Event::ServerError(_)), "{tenant}: {event}");
        }
    }
}

#[tokio::test]
async fn no_tentacle_reaches_streams_of_another_or_makes_the_server_write_to_it() {
    let Some(world) = World::start_with(&[STREAMS]).await else { return };
    let (mut given, mut spies) = (Vec::new(), Vec::new());
    for (number, tenant) in Tenant::hostile().into_iter().enumerate() {
        let share = world.given(&tenant, &Fields::new()).await;
        let tentacle = world.connect(&share).await.unwrap();
        let jetstream = keep(&tentacle, &format!("of-{number}")).await;
        given.push((tentacle, jetstream, inbox_prefix(&tenant)));
        // Somebody in the same account who may hear everything there.
        let account = jwt::account_of(share.field("creds")).unwrap();
        let spy = operator(&world.server).user_of(&account, &[">"]).unwrap();
        let options = ConnectOptions::with_credentials(&spy.creds()).unwrap();
        spies.push(options.connect(world.server.url()).await.unwrap());
    }
    for own in 0..given.len() {
        for other in (0..given.len()).filter(|other| *other != own) {
            let heard = given[other].0.all().await;
            let inbox = given[other].0.client.subscribe(format!("{}.>", given[other].2)).await.unwrap();
            let (tentacle, jetstream, _) = &given[own];
            let (theirs, their_inbox) = (&given[other].0, &given[other].2);
            let others = format!("of-{other}");
            assert_eq!(names(jetstream).await, [format!("of-{own}")]);
            finds_nothing(&tentacle.client, &others).await;
            for subject in [theirs.own("x"), format!("{their_inbox}.x")] {
                // The server delivers only where somebody listens to this very subject.
                let _listening = theirs.client.subscribe(subject.clone()).await.unwrap();
                round_trip(&theirs.client).await.unwrap();
                let mut written = spies[own].subscribe(subject.clone()).await.unwrap();
                round_trip(&spies[own]).await.unwrap();
                misdirect(tentacle, jetstream, &subject, &mut written).await;
            }
            divert(jetstream, &theirs.own(">"), &others, &given[other]).await;
            unharmed(&given[other], &others, (heard, inbox)).await;
        }
    }
}

/// What it asks about the stream of another, by the name that this has, there is not.
async fn finds_nothing(client: &Client, stream: &str) {
    for (subject, payload) in [
        ("STREAM.INFO.{}", ""),
        ("STREAM.PURGE.{}", ""),
        ("STREAM.DELETE.{}", ""),
        ("STREAM.MSG.GET.{}", r#"{"seq":1}"#),
        ("STREAM.MSG.DELETE.{}", r#"{"seq":1}"#),
        ("STREAM.UPDATE.{}", r#"{"name":"{}","subjects":["x"]}"#),
        ("STREAM.SNAPSHOT.{}", r#"{"deliver_subject":"x"}"#),
        ("DIRECT.GET.{}", r#"{"seq":1}"#),
        ("CONSUMER.NAMES.{}", ""),
        ("CONSUMER.LIST.{}", ""),
        ("CONSUMER.INFO.{}.c", ""),
        ("CONSUMER.DELETE.{}.c", ""),
        ("CONSUMER.MSG.NEXT.{}.c", ""),
        ("CONSUMER.CREATE.{}.d", r#"{"stream_name":"{}","config":{"name":"d","ack_policy":"explicit"}}"#),
    ] {
        let [subject, payload] = [subject, payload].map(|text| text.replace("{}", stream));
        match client.request(format!("$JS.API.{subject}"), payload.into()).await {
            Ok(answer) => {
                let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
                assert_eq!(answer["error"]["code"], 404, "{subject}: {answer}");
            }
            Err(error) => assert_eq!(error.kind(), RequestErrorKind::NoResponders, "{subject}: {error}"),
        }
    }
}

/// Has the server answer, acknowledge and deliver to a subject of another. What it writes there in the tentacle's own account comes
/// to `heard`.
async fn misdirect(tentacle: &Tentacle, jetstream: &Context, subject: &str, heard: &mut Subscriber) {
    let name = names(jetstream).await.remove(0);
    let stream = jetstream.get_stream(&name).await.unwrap();
    for (asked, payload) in [
        ("$JS.API.INFO".to_owned(), ""),
        (format!("$JS.API.STREAM.INFO.{name}"), ""),
        (tentacle.own("kept.2"), "again"),
    ] {
        tentacle.client.publish_with_reply(asked, subject.to_owned(), payload.into()).await.unwrap();
    }
    hears(heard, subject, &["account_info_response", "stream_info_response", "\"seq\":"]).await;
    let pull = json!({ "batch": 1 }).to_string();
    let asked = format!("$JS.API.CONSUMER.MSG.NEXT.{name}.c");
    tentacle.client.publish_with_reply(asked, subject.to_owned(), pull.into()).await.unwrap();
    hears(heard, &tentacle.own("kept."), &[""]).await;
    let deliver_subject = subject.to_owned();
    let push = consumer::push::Config { name: Some("thief".to_owned()), deliver_subject, ..Default::default() };
    stream.create_consumer(push).await.unwrap();
    hears(heard, &tentacle.own("kept."), &["mine", "again"]).await;
    stream.delete_consumer("thief").await.unwrap();
}

/// Waits until messages with all of this came, on subjects that begin so, in any order.
async fn hears(heard: &mut Subscriber, subject: &str, parts: &[&str]) {
    let mut missing = parts.to_vec();
    while !missing.is_empty() {
        let (on, text) = next(heard).await.unwrap();
        if let Some(found) = missing.iter().position(|part| on.starts_with(subject) && text.contains(part)) {
            missing.remove(found);
        }
    }
}

#[tokio::test]
async fn in_an_account_of_several_the_server_would_write_to_another() {
    let Some(server) = services::Nats::with_operator().await.unwrap() else { return };
    let nats = of(&server, &[]);
    let signing = operator(&server).signing_seed().unwrap();
    let account = operator(&server).account();
    let signer = Signer { account, key: nkeys::KeyPair::from_seed(&signing).unwrap(), streams: true };
    let [mut thief, mut victim] = ["a/b", "a/c"].map(|name| (name.parse::<Tenant>().unwrap(), None));
    for (tenant, tentacle) in [&mut thief, &mut victim] {
        let mut share = nats.offer(tenant, &Fields::new(), false).await.unwrap();
        let creds = signer.issue(tenant, &[], (Utc::now(), Utc::now() + TimeDelta::days(1))).unwrap().creds();
        share.fields.insert("creds".to_owned(), creds);
        *tentacle = Some(connect_as(&server, &share).await.unwrap());
    }
    let (thief, victim) = (thief.1.unwrap(), victim.1.unwrap());
    let mut heard = victim.client.subscribe(victim.own("x")).await.unwrap();
    round_trip(&victim.client).await.unwrap();
    let jetstream = keep(&thief, "mine").await;
    misdirect(&thief, &jetstream, &victim.own("x"), &mut heard).await;
}

/// Keeps what another publishes, and copies what another keeps.
async fn divert(
    jetstream: &Context,
    subjects: &str,
    stream: &str,
    (victim, theirs, _): &(Tentacle, Context, String),
) {
    let subjects = stream::Config { subjects: vec![subjects.to_owned()], ..Default::default() };
    let source = || stream::Source { name: stream.to_owned(), ..Default::default() };
    let sources = stream::Config { sources: Some(vec![source()]), ..Default::default() };
    let mirror = stream::Config { mirror: Some(source()), ..Default::default() };
    for config in [subjects, sources, mirror] {
        // Of a stream that there is not the server may make no copy.
        let Ok(mut stolen) = jetstream.create_stream(stream::Config { name: "stolen".to_owned(), ..config }).await
        else {
            continue;
        };
        theirs.publish(victim.own("kept.3"), "theirs".into()).await.unwrap().await.unwrap();
        assert_eq!(stolen.info().await.unwrap().state.messages, 0);
        jetstream.delete_stream("stolen").await.unwrap();
    }
}

/// The tentacle has heard nothing but what it published itself, and has what it had.
async fn unharmed(
    (tentacle, jetstream, prefix): &(Tentacle, Context, String),
    stream: &str,
    (mut heard, mut inbox): (Subscriber, Subscriber),
) {
    tentacle.client.publish(tentacle.own("end"), "".into()).await.unwrap();
    let end = loop {
        let (subject, text) = next(&mut heard).await.unwrap();
        if (&*subject, &*text) != (&tentacle.own("kept.3"), "theirs") {
            break subject;
        }
    };
    assert_eq!(end, tentacle.own("end"), "nothing else came before it");
    tentacle.client.publish(format!("{prefix}.end"), "".into()).await.unwrap();
    // What the server answers to its own requests comes there too, to names of its own.
    let named = loop {
        let subject = next(&mut inbox).await.unwrap().0;
        if let Some(name) = subject.strip_prefix(&format!("{prefix}.")).filter(|name| name.len() < 22) {
            break name.to_owned();
        }
    };
    assert_eq!(named, "end", "nothing else came to its inbox");
    let stream = jetstream.get_stream(stream).await.unwrap();
    let first = stream.get_raw_message(1).await.unwrap();
    let info = stream.cached_info();
    assert_eq!((&first.payload[..], info.state.consumer_count, info.config.subjects.len()), (&b"mine"[..], 1, 1));
}
