//! Callers with right tokens: people who own an enclave each, and programs with the bearer token.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use crate::{
    ask::{Ask, Place},
    client::{Client, Http},
    judge::{Asked, era, judge},
    world::World,
};

/// People, each with an enclave and a tentacle.
pub(crate) const PEOPLE: usize = 6;
/// Programs with the bearer token.
pub(crate) const PROGRAMS: usize = 4;
/// Between an answer and the next question.
const PAUSE: Duration = Duration::from_millis(20);
/// One question in so many is a `wf_apply`.
const APPLY_EVERY: usize = 251;
/// The questions of a person, in turn. Their number is odd, so that each is asked in both protocol eras.
const OF_PEOPLE: [Ask; 13] = [
    Ask::List,
    Ask::Tools,
    Ask::Info,
    Ask::Discover,
    Ask::Status,
    Ask::ListAll,
    Ask::Run,
    Ask::List,
    Ask::Foreign,
    Ask::Info,
    Ask::Tools,
    Ask::List,
    Ask::Run,
];
/// The questions of a program, in turn.
const OF_PROGRAMS: [Ask; 9] =
    [Ask::Discover, Ask::List, Ask::Status, Ask::Tools, Ask::ListAll, Ask::Info, Ask::Run, Ask::Status, Ask::List];

/// Asks as a person until the time is over.
pub(crate) async fn person(world: Arc<World>, person: usize, until: Instant) -> anyhow::Result<()> {
    let http = if person.is_multiple_of(2) { Http::One } else { Http::Two };
    let client = Client::new(&world.authority, &world.url(), http)?;
    let place = Place::of(person, PEOPLE, "owner");
    let mut turn = person * 5;
    while Instant::now() < until {
        let ask = if turn.is_multiple_of(APPLY_EVERY) { Ask::Apply } else { OF_PEOPLE[turn % OF_PEOPLE.len()] };
        let id = format!("p{person}x{turn}");
        let credential = world.signed(&claims(&world, person));
        let asked = Asked { ask, era: era(turn), id: &id, place: &place, credential: &credential };
        question(&world, &client, ask.name(), &asked).await?;
        turn += 1;
        sleep(PAUSE).await;
    }
    Ok(())
}

/// Asks with the bearer token until the time is over.
pub(crate) async fn program(world: Arc<World>, program: usize, until: Instant) -> anyhow::Result<()> {
    let http = if program.is_multiple_of(2) { Http::One } else { Http::Two };
    let client = Client::new(&world.authority, &world.url(), http)?;
    let mut turn = program * 3;
    while Instant::now() < until {
        let place = Place::of(turn % PEOPLE, PEOPLE, "bearer");
        let ask = OF_PROGRAMS[turn % OF_PROGRAMS.len()];
        let id = format!("b{program}x{turn}");
        let asked = Asked { ask, era: era(turn), id: &id, place: &place, credential: &world.bearer() };
        question(&world, &client, ask.name(), &asked).await?;
        turn += 1;
        sleep(PAUSE).await;
    }
    Ok(())
}

/// The claims of one of the people.
pub(crate) fn claims(world: &World, person: usize) -> serde_json::Value {
    // The case of an address does not count.
    world.provider.claims(&format!("subject-{person}"), &format!("Person{person}@Example.com"))
}

/// Asks once, and counts what becomes of it in the row `kind`.
pub(crate) async fn question(
    world: &World,
    client: &Client,
    kind: &'static str,
    asked: &Asked<'_>,
) -> anyhow::Result<()> {
    let exchange = client.send(&asked.credential.token, &asked.message()?).await;
    world.tally.count(kind, asked.id, judge(world, asked, &exchange), exchange.ended - exchange.begun);
    Ok(())
}
