//! A tentacle reaches its own and nothing of others.

use async_nats::HeaderMap;

use super::*;

/// Tentacles that share an account, that have their own, and that have streams there.
async fn worlds() -> Vec<World> {
    let Some(server) = services::Nats::with_operator().await.unwrap() else { return Vec::new() };
    let sharing = World { nats: of(&server, &[]), server };
    vec![sharing, World::start().await.unwrap(), World::start_with(&[STREAMS]).await.unwrap()]
}

#[tokio::test]
async fn no_tentacle_sends_anything_to_another_or_hears_it() {
    for world in worlds().await {
        sends_nothing_to_another(&world).await;
    }
}

async fn sends_nothing_to_another(world: &World) {
    let mut given = Vec::new();
    for tenant in Tenant::hostile() {
        let share = world.given(&tenant, &Fields::new()).await;
        let tentacle = world.connect(&share).await.unwrap();
        given.push((tentacle, inbox_prefix(&tenant)));
    }
    for own in 0..given.len() {
        for other in (0..given.len()).filter(|other| *other != own) {
            let (theirs, inbox) = (given[other].0.own("x"), format!("{}.x", given[other].1));
            let mut heard = given[other].0.all().await;
            let tentacle = &mut given[own].0;
            let client = tentacle.client.clone();
            for subject in [&theirs, &inbox] {
                client.publish(subject.clone(), "stolen".into()).await.unwrap();
                assert_eq!(tentacle.objection().await, publishing(subject));
                // Nor does the server tell it how another message fared.
                let mut traced = HeaderMap::new();
                traced.insert("Nats-Trace-Dest", subject.as_str());
                client.publish_with_headers(tentacle.own("traced"), traced, "".into()).await.unwrap();
                assert_eq!(tentacle.objection().await, publishing(subject));
                let all = subject.replace(".x", ".>");
                for subject in [subject, &all] {
                    drop(client.subscribe(subject.clone()).await.unwrap());
                    assert_eq!(tentacle.objection().await, listening(subject));
                    drop(client.queue_subscribe(subject.clone(), "q".to_owned()).await.unwrap());
                    let objection = tentacle.objection().await;
                    assert!(objection.starts_with(&listening(subject)), "{objection}");
                }
                // Whoever answers it, and the server where nobody does, answers nobody but its own.
                let mut requests = tentacle.all().await;
                client.publish_with_reply(tentacle.own("asked"), subject.clone(), "stolen".into()).await.unwrap();
                assert_eq!(next(&mut requests).await.unwrap().0, tentacle.own("asked"));
                client.publish(subject.clone(), "answer".into()).await.unwrap();
                assert_eq!(tentacle.objection().await, publishing(subject));
                requests.unsubscribe().await.unwrap();
                client.publish_with_reply(tentacle.own("nobody"), subject.clone(), "stolen".into()).await.unwrap();
            }
            let witness = &mut given[other].0;
            witness.client.publish(witness.own("end"), "".into()).await.unwrap();
            assert_eq!(next(&mut heard).await.unwrap().0, witness.own("end"), "nothing came before it");
        }
    }
}

#[tokio::test]
async fn no_tentacle_uses_what_is_everybodys() {
    let streams = [false, false, true];
    for (world, streams) in worlds().await.iter().zip(streams) {
        uses_nothing_of_everybodys(world, streams).await;
    }
}

async fn uses_nothing_of_everybodys(world: &World, streams: bool) {
    let share = world.given(&tenant("team-a", "report"), &Fields::new()).await;
    let mut tentacle = world.connect(&share).await.unwrap();
    let client = tentacle.client.clone();
    for subject in [
        ">",
        "*",
        "*.>",
        "tentacular.>",
        "tentacular.team-a.>",
        "tentacular.*.report.>",
        "tentacular.team-a.*.>",
        "_INBOX.>",
        "_INBOX.*.*.x",
        "_INBOX.team-a.>",
        "$SYS.>",
        "$SYS.ACCOUNT.>",
        "$JS.>",
        "$JS.EVENT.>",
        "$KV.>",
        "_R_.>",
    ] {
        drop(client.subscribe(subject).await.unwrap());
        assert_eq!(tentacle.objection().await, listening(subject));
    }
    for subject in [
        "tentacular",
        "tentacular.team-a",
        "tentacular.team-a.report",
        "_INBOX.x",
        "$SYS.REQ.USER.INFO",
        "$SYS.REQ.CLAIMS.UPDATE",
        "$SYS.REQ.SERVER.PING",
        "$JS.EVENT.ADVISORY.API",
        "$SRV.PING",
    ] {
        client.publish(subject, "x".into()).await.unwrap();
        assert_eq!(tentacle.objection().await, publishing(subject));
    }
    for subject in [
        "$JS.API.INFO",
        "$JS.API.STREAM.NAMES",
        "$JS.API.STREAM.CREATE.mine",
        "$JS.ACK.s.c.1.1.1.1.1",
        "$JS.FC.x",
        "$KV.b.k",
        "$O.b.C.x",
    ] {
        client.publish(subject, "x".into()).await.unwrap();
        if !streams {
            assert_eq!(tentacle.objection().await, publishing(subject));
        }
    }
    client.publish("end", "".into()).await.unwrap();
    assert_eq!(tentacle.objection().await, publishing("end"), "nothing else was objected to");
}

#[tokio::test]
async fn a_tentacle_publishes_asks_and_answers_on_its_own_subjects() {
    for world in worlds().await {
        uses_its_own_subjects(&world).await;
    }
}

async fn uses_its_own_subjects(world: &World) {
    for tenant in Tenant::hostile() {
        let share = world.given(&tenant, &Fields::new()).await;
        let (mut one, mut two) = (world.connect(&share).await.unwrap(), world.connect(&share).await.unwrap());
        let mut asked = one.all().await;
        let mut wild = two.client.subscribe(two.own("*.new")).await.unwrap();
        let answering = one.client.clone();
        let serving = tokio::spawn(async move {
            let request = timeout(HANGS, asked.next()).await.unwrap().unwrap();
            answering.publish(request.reply.unwrap(), "answer".into()).await.unwrap();
        });
        let answer = timeout(HANGS, two.client.request(two.own("ask.me"), "?".into())).await.unwrap().unwrap();
        assert_eq!(answer.payload, "answer", "{tenant}");
        serving.await.unwrap();
        one.client.publish(one.own("row.new"), "1".into()).await.unwrap();
        assert_eq!(next(&mut wild).await.unwrap(), (two.own("row.new"), "1".to_owned()));
        for tentacle in [&mut one, &mut two] {
            while let Ok(event) = tentacle.events.try_recv() {
                assert!(!matches!(event, Event::ServerError(_)), "{tenant}: {event}");
            }
        }
    }
}

fn publishing(subject: &str) -> String {
    format!("nats: Permissions Violation for Publish to \"{subject}\"")
}

fn listening(subject: &str) -> String {
    format!("nats: Permissions Violation for Subscription to \"{subject}\"")
}
