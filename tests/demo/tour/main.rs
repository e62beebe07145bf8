//! A tour of the running system: a real control plane, the five processes, an example tentacle, real MCP clients.
//! Afterwards everything stays up for whoever wants to try it, until Ctrl-C.

mod guards;
mod replacement;
mod schedule;
mod shares;
mod story;
mod tentacle;
mod world;

use std::process::ExitCode;

use anyhow::bail;
use clap::Parser;
use tentacular_demo::say;

use self::{story::Story, world::World};

/// Shows tentacular-mcp at work, then keeps it running.
#[derive(Debug, Parser)]
struct Args {
    /// End after the tour.
    #[arg(long)]
    once: bool,
    /// Port of the MCP endpoint on 127.0.0.1; any free one when left out.
    #[arg(long, default_value_t = 0)]
    port: u16,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("FAILED: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(Args { once, port }: Args) -> anyhow::Result<()> {
    let mut story = Story::begin();
    let world = World::start(&story, port).await?;
    story.note("everything is up");
    tour(&mut story, &world).await?;
    story.note("the tour is over");
    if once { Ok(()) } else { stay(&world).await }
}

/// The schedule is made early and shown at the end, as it fires at a full minute.
async fn tour(story: &mut Story, world: &World) -> anyhow::Result<()> {
    let ann = world.client(world::OWNER).await?;
    tentacle::show(story, &ann).await?;
    shares::show(story, world, &ann).await?;
    guards::stranger_without_token(story, world).await?;
    guards::stranger_with_token(story, world).await?;
    guards::pod(story, world).await?;
    guards::audits(story, &ann).await?;
    replacement::show(story, world).await?;
    schedule::show(story, &ann).await?;
    shares::remove(story, &ann).await
}

async fn stay(world: &World) -> anyhow::Result<()> {
    let stack = &world.stack;
    say(&format!("MCP_URL={}", stack.url()));
    say(&format!("MCP_TOKEN={}", stack.token()));
    say(&format!("ANN_TOKEN={}", world.token(world::OWNER)));
    say(&format!("EVE_TOKEN={}", world.token(world::STRANGER)));
    say(&format!("KUBECONFIG={}", stack.installation().control_plane().admin_kubeconfig().display()));
    say(&format!("RUN_DIR={}", stack.run_dir().display()));
    say("press Ctrl-C to end");
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed?,
        ended = stack.first_to_end() => bail!("the {} ended by itself", ended?.name()),
    }
    say("ending");
    Ok(())
}
