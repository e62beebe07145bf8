//! Callers with tokens that are withdrawn or were never right.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tentacular_test_harness::provider::{key::Key, now};
use tokio::time::sleep;

use crate::{
    ask::{Ask, Place},
    callers::{PEOPLE, claims, question},
    client::{Client, Http},
    judge::{Asked, era},
    world::{Credential, Source, World},
};

/// Between two requests of one stranger; most also wait for their refusal.
const PAUSE: Duration = Duration::from_millis(100);
/// Between two tokens that are kept.
const HOARD_EVERY: Duration = Duration::from_secs(1);
/// How old a token gets before it is shown again: some are withdrawn meanwhile.
const AGE: Duration = Duration::from_secs(8);
/// The row of bearer tokens that are shown again some seconds later.
pub(crate) const OLD_BEARER: &str = "bearer token, twice";
/// The row of access tokens that are shown again some seconds later.
pub(crate) const OLD_SIGNED: &str = "access token, twice";
/// The row of tokens that were never right.
pub(crate) const FORGED: &str = "forged or expired";

/// Shows each token when it is new, and again some seconds later.
pub(crate) async fn hoarder(world: Arc<World>, people: bool, until: Instant) -> anyhow::Result<()> {
    let client = Client::new(&world.authority, &world.url(), Http::One)?;
    let (kind, role) = if people { (OLD_SIGNED, "owner") } else { (OLD_BEARER, "bearer") };
    let place = Place::of(0, PEOPLE, role);
    let mut hoard = VecDeque::new();
    let mut turn = 0;
    while Instant::now() < until {
        let new = if people { world.signed(&claims(&world, 0)) } else { world.bearer() };
        hoard.push_back((Instant::now(), new.clone()));
        let old = hoard.pop_front_if(|(got, _)| got.elapsed() > AGE).map(|(_, old)| old);
        for credential in [Some(new), old].iter().flatten() {
            turn += 1;
            let id = format!("{role}x{turn}");
            let asked = Asked { ask: Ask::Info, era: era(turn / 2), id: &id, place: &place, credential };
            question(&world, &client, kind, &asked).await?;
        }
        sleep(HOARD_EVERY).await;
    }
    Ok(())
}

/// Shows tokens that nobody may accept.
pub(crate) async fn forger(world: Arc<World>, forger: usize, until: Instant) -> anyhow::Result<()> {
    let client = Client::new(&world.authority, &world.url(), Http::One)?;
    let place = Place::of(forger % PEOPLE, PEOPLE, "owner");
    let foreign = Key::es256()?;
    let mut turn = forger;
    while Instant::now() < until {
        let credential = Credential { token: forged(&world, &foreign, turn)?, source: Source::Forged };
        let ask = if turn.is_multiple_of(2) { Ask::Info } else { Ask::Tools };
        let id = format!("f{forger}x{turn}");
        let asked = Asked { ask, era: era(turn / 2), id: &id, place: &place, credential: &credential };
        question(&world, &client, FORGED, &asked).await?;
        turn += 1;
        sleep(PAUSE).await;
    }
    Ok(())
}

fn forged(world: &World, foreign: &Key, turn: usize) -> anyhow::Result<String> {
    let provider = &world.provider;
    let with = |claim: &str, value: Value| {
        let mut claims = claims(world, 0);
        claims[claim] = value;
        claims
    };
    Ok(match turn % 9 {
        0 => "soak-token".to_owned(),
        1 => "a.b.c".to_owned(),
        2 => provider.token(&with("exp", json!(now() - 600))),
        3 => provider.token(&with("nbf", json!(now() + 600))),
        4 => provider.token(&with("aud", json!("somebody-else"))),
        5 => provider.token(&with("azp", json!("somebody-else"))),
        6 => provider.token(&with("iss", json!("https://elsewhere.example.com"))),
        7 => foreign.token(&claims(world, 0))?,
        // Under the name of the right key.
        _ => foreign.sign(&json!({ "alg": "ES256", "typ": "JWT", "kid": provider.key().id() }), &claims(world, 0))?,
    })
}
