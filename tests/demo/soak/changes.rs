//! What changes under the load.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::ensure;
use tentacular_test_harness::Part;
use tokio::{net::UnixStream, time::sleep};

use crate::world::World;

/// Between two changes of a secret. Each of the three changes in turn.
const SECRETS_EVERY: Duration = Duration::from_secs(2);
/// Between the return of a sidecar and the end of the next.
const OUTAGES_EVERY: Duration = Duration::from_secs(12);
/// How long a sidecar stays away, in turn: less and more than callers wait for it.
const AWAY: [Duration; 3] = [Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(4)];
/// How long a sidecar may take to start.
const START: Duration = Duration::from_mins(1);

/// Changes the token file, the provider's keys and the certificate, one after the other.
pub(crate) async fn secrets(world: Arc<World>, until: Instant) -> anyhow::Result<()> {
    for turn in 0.. {
        sleep(SECRETS_EVERY).await;
        if Instant::now() >= until {
            break;
        }
        match turn % 3 {
            0 => world.change_token()?,
            1 => world.change_key()?,
            _ => world.change_certificate()?,
        }
    }
    Ok(())
}

/// Kills the sidecars one after the other, and starts them again.
pub(crate) async fn outages(world: Arc<World>, until: Instant) -> anyhow::Result<()> {
    for turn in 0.. {
        sleep(OUTAGES_EVERY).await;
        if Instant::now() >= until {
            break;
        }
        let part = Part::SIDECARS[turn % Part::SIDECARS.len()];
        world.outages.begin(part);
        world.stack.kill(part).await?;
        sleep(AWAY[(turn + turn / AWAY.len()) % AWAY.len()]).await;
        world.stack.restart(part)?;
        until_back(&world, part).await?;
        world.outages.end(part);
    }
    Ok(())
}

/// The socket file is still the old one until the new process listens.
async fn until_back(world: &World, part: Part) -> anyhow::Result<()> {
    let socket = world.stack.run_dir().join(format!("{}.sock", part.name()));
    let begun = Instant::now();
    while UnixStream::connect(&socket).await.is_err() {
        let process = world.stack.process(part)?;
        ensure!(process.is_running(), "the {} ended again: {}", part.name(), process.last_lines(5));
        ensure!(begun.elapsed() < START, "the {} does not come back: {}", part.name(), process.last_lines(5));
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
