//! Clients that do not stay: some begin and never go on, some leave before they are answered.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tentacular_demo::Message;
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::{
    ask::{Ask, Place},
    callers::{PEOPLE, claims},
    client::{Answer, Client, Http},
    generations::Expected,
    judge::{Asked, era, judge},
    tally::Outcome,
    world::World,
};

/// Between two clients of a kind.
const PAUSE: Duration = Duration::from_millis(150);
/// How long somebody waits who leaves, in milliseconds, in turn.
const STAYS: [u64; 7] = [0, 1, 2, 5, 10, 25, 60];
/// The row of clients that begin and do not go on.
pub(crate) const ABANDONED: &str = "initialize, abandoned";
/// The row of connections on which nothing comes.
pub(crate) const SILENT: &str = "half a TLS greeting";

/// A new connection each time, `initialize`, and nothing after it. The certificate is looked at, too.
pub(crate) async fn beginner(world: Arc<World>, until: Instant) -> anyhow::Result<()> {
    let mut turn = 0;
    while Instant::now() < until {
        let http = if turn % 2 == 0 { Http::One } else { Http::Two };
        let client = Client::new(&world.authority, &world.url(), http)?;
        let id = format!("i{turn}");
        let exchange = client.send(&world.signed(&claims(&world, 0)).token, &Message::initialize(&id)).await;
        let outcome = match &exchange.answer {
            Err(error) => Outcome::Wrong(format!("no answer: {error}")),
            Ok(answer) => begun(&world, &id, answer, exchange.begun, exchange.ended),
        };
        world.tally.count(ABANDONED, &id, outcome, exchange.ended - exchange.begun);
        turn += 1;
        sleep(PAUSE).await;
    }
    Ok(())
}

fn begun(world: &World, id: &str, answer: &Answer, begun: Instant, ended: Instant) -> Outcome {
    let json = answer.json();
    if json["id"] != id || json["result"]["protocolVersion"] != "2025-06-18" {
        // The token is of the newest key, so it is right in any case.
        return Outcome::Wrong(format!("HTTP {} {}", answer.status, answer.text));
    }
    match world.certificates.find(&answer.certificate) {
        None => Outcome::Wrong("a certificate that was never given to the kernel".to_owned()),
        Some(number) if world.certificates.expected(number, begun, ended) == Expected::Refused => {
            Outcome::Wrong(format!("certificate {number} was replaced before"))
        }
        Some(_) => Outcome::Right,
    }
}

/// Starts a run and leaves after some milliseconds, sometimes before, sometimes after the sidecar has got it.
pub(crate) async fn leaver(world: Arc<World>, leaver: usize, until: Instant) -> anyhow::Result<()> {
    let http = if leaver.is_multiple_of(2) { Http::One } else { Http::Two };
    let client = Client::new(&world.authority, &world.url(), http)?;
    let (ask, place) = (Ask::LongRun, Place::of(leaver % PEOPLE, PEOPLE, "owner"));
    let mut turn = 0;
    while Instant::now() < until {
        let id = format!("l{leaver}x{turn}");
        let credential = world.signed(&claims(&world, leaver % PEOPLE));
        let asked = Asked { ask, era: era(turn), id: &id, place: &place, credential: &credential };
        let stays = Duration::from_millis(STAYS[turn % STAYS.len()]);
        let outcome = match timeout(stays, client.send(&credential.token, &asked.message()?)).await {
            Err(_) => Outcome::Left,
            Ok(exchange) => judge(&world, &asked, &exchange),
        };
        world.tally.count(ask.name(), &id, outcome, stays);
        turn += 1;
        sleep(PAUSE).await;
    }
    Ok(())
}

/// Connects, sends the beginning of a TLS record, and stays for a while.
pub(crate) async fn silent(world: Arc<World>, until: Instant) -> anyhow::Result<()> {
    let address = world.stack.url().trim_start_matches("http://").trim_end_matches("/mcp").parse::<SocketAddr>()?;
    while Instant::now() < until {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(&[0x16, 0x03, 0x01]).await?;
        sleep(PAUSE * 10).await;
        drop(stream);
        world.tally.count(SILENT, "a stranger", Outcome::Left, PAUSE);
    }
    Ok(())
}
