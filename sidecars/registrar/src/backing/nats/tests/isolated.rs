//! A tentacle reaches its own and nothing of others.

use super::*;

#[tokio::test]
async fn no_tentacle_sends_anything_to_another_or_hears_it() {
    let Some(world) = World::start().await else { return };
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
    let Some(world) = World::start().await else { return };
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
        "$JS.API.INFO",
        "$JS.API.STREAM.NAMES",
        "$JS.API.STREAM.CREATE.mine",
        "$JS.ACK.s.c.1.1.1.1.1",
        "$SRV.PING",
    ] {
        client.publish(subject, "x".into()).await.unwrap();
        assert_eq!(tentacle.objection().await, publishing(subject));
    }
}

#[tokio::test]
async fn a_tentacle_publishes_asks_and_answers_on_its_own_subjects() {
    let Some(world) = World::start().await else { return };
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
