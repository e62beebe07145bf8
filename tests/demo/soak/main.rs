//! Mixed load for some minutes while the token file, the provider's keys, the certificate and the sidecars change. Every
//! answer is looked at; one that is wrong fails the run.

mod ask;
mod callers;
mod changes;
mod client;
mod generations;
mod guests;
mod judge;
mod outages;
mod strangers;
mod tally;
mod vitals;
mod world;

use std::{
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Parser;
use serde_json::json;
use tentacular_demo::{Message, say};
use tentacular_test_harness::mcp::Era;
use tokio::task::JoinSet;

use self::{
    ask::{Ask, Place},
    callers::{PEOPLE, PROGRAMS},
    client::{Client, Http},
    guests::{ABANDONED, SILENT},
    strangers::{FORGED, OLD_BEARER, OLD_SIGNED},
    vitals::Vitals,
    world::World,
};

/// Loads tentacular-mcp while everything that may change changes.
#[derive(Debug, Parser)]
struct Args {
    /// How long.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
}

/// Clients of each kind that does no harm.
const GUESTS: usize = 2;
/// Callers with forged tokens. Their refusals are slowed down, so it takes several to send some.
const FORGERS: usize = 6;

#[tokio::main]
async fn main() -> ExitCode {
    match run(Duration::from_mins(Args::parse().minutes)).await {
        Ok(problems) if problems.is_empty() => {
            say("no wrong answer");
            ExitCode::SUCCESS
        }
        Ok(problems) => {
            for problem in problems {
                say(&format!("FAILED: {problem}"));
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            say(&format!("FAILED: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(time: Duration) -> anyhow::Result<Vec<String>> {
    say("starting the control plane, the processes and the identity provider");
    let world = Arc::new(World::start().await?);
    prepare(&world).await?;
    say(&format!("{PEOPLE} people and {PROGRAMS} programs call for {} minutes", time.as_secs() / 60));
    let vitals = load(&world, time).await;
    world.tally.print();
    say(&format!(
        "changed: token file {} times, keys {} times, certificate {} times; sidecars killed {} times",
        world.tokens.replaced(),
        world.keys.replaced(),
        world.certificates.replaced(),
        world.outages.count()
    ));
    let vitals = vitals?;
    vitals.print();
    Ok(problems(&world, &vitals))
}

/// Gives everybody an enclave and a tentacle.
async fn prepare(world: &World) -> anyhow::Result<()> {
    let client = Client::new(&world.authority, &world.url(), Http::One)?;
    for person in 0..PEOPLE {
        let place = Place::of(person, PEOPLE, "bearer");
        let provision = json!({ "name": place.enclave, "owner_email": place.owner });
        let provision = Message::call(Era::Stateless, "prepare", "enclave_provision", &provision);
        for message in [provision, Ask::Apply.message("prepare", Era::Stateless, &place)?] {
            let answer = client.send(&world.bearer().token, &message).await.answer.map_err(anyhow::Error::msg)?;
            anyhow::ensure!(answer.json()["result"]["isError"] == false, "cannot prepare: {}", answer.text);
        }
    }
    Ok(())
}

/// Lets everybody call until the time is over.
async fn load(world: &Arc<World>, time: Duration) -> anyhow::Result<Vitals> {
    let until = Instant::now() + time;
    let mut tasks = JoinSet::new();
    tasks.spawn(changes::secrets(Arc::clone(world), until));
    tasks.spawn(changes::outages(Arc::clone(world), until));
    for person in 0..PEOPLE {
        tasks.spawn(callers::person(Arc::clone(world), person, until));
    }
    for program in 0..PROGRAMS {
        tasks.spawn(callers::program(Arc::clone(world), program, until));
    }
    for forger in 0..FORGERS {
        tasks.spawn(strangers::forger(Arc::clone(world), forger, until));
    }
    for people in [true, false] {
        tasks.spawn(strangers::hoarder(Arc::clone(world), people, until));
    }
    for guest in 0..GUESTS {
        tasks.spawn(guests::beginner(Arc::clone(world), until));
        tasks.spawn(guests::leaver(Arc::clone(world), guest, until));
        tasks.spawn(guests::silent(Arc::clone(world), until));
    }
    let all_end = async {
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        anyhow::Ok(())
    };
    let (vitals, ()) = tokio::try_join!(vitals::watch(world, time), all_end)?;
    Ok(vitals)
}

/// What was wrong, and what did not happen at all and thus shows nothing.
fn problems(world: &World, vitals: &Vitals) -> Vec<String> {
    let mut problems = vitals.problems();
    let (_, wrong) = world.tally.so_far();
    if wrong > 0 {
        problems.push(format!("{wrong} answers were wrong"));
    }
    let mut must_have = |happened: bool, what: &str| {
        if !happened {
            problems.push(format!("nothing was shown of: {what}"));
        }
    };
    for ask in Ask::ANSWERED {
        must_have(world.tally.right(ask.name()) > 0, ask.name());
    }
    for kind in [Ask::Foreign.name(), OLD_BEARER, OLD_SIGNED, FORGED] {
        must_have(world.tally.refused(kind) > 0, kind);
    }
    must_have(world.tally.right(ABANDONED) > 0, ABANDONED);
    for kind in [Ask::LongRun.name(), SILENT] {
        must_have(world.tally.left(kind) > 0, kind);
    }
    must_have(world.certificates.replaced() > 0, "a new certificate");
    must_have(world.outages.count() > 0, "a sidecar that was killed");
    problems
}
