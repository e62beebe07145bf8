//! Namespaces of their own (network, mounts, processes) for a test program, its cluster and all pods. When the program
//! ends, or whoever entered is killed, the kernel ends everything in them. What outlives that, cgroups, is removed by
//! name, at the latest by the next who enters.

pub(super) mod cgroups;
mod requirements;

use std::{
    ffi::OsString,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt as _},
    path::Path,
    process::{ExitStatus, Stdio},
};

use anyhow::Context as _;
use tokio::{
    process::Command,
    signal::unix::{SignalKind, signal},
};

use self::cgroups::Cgroup;
use super::programs::Programs;
use crate::{Scratch, say::say};

/// Tells the program inside that it is there: the name of its cgroup.
const CGROUP: &str = "TENTACULAR_CLUSTER_CGROUP";

/// Folders that container tools write to, wherever they are told to. The shell stays, as somebody must be process 1: it takes
/// leave of the orphans.
const INSIDE: &str = r#"set -e
for folder in /run /var/lib /var/log; do mount -t tmpfs tmpfs "$folder"; done
"$@" &
wait "$!""#;

/// What a cluster finds around it.
#[derive(Debug)]
pub(super) struct Surroundings {
    cgroup: String,
}

/// Fails outside of [`enter`].
pub(super) fn surroundings() -> anyhow::Result<Surroundings> {
    let cgroup =
        std::env::var(CGROUP).context("a cluster needs namespaces of its own: `make e2e-node` makes them")?;
    Ok(Surroundings { cgroup })
}

impl Surroundings {
    /// Makes a cgroup for a worker.
    pub(super) fn cgroup(&self, worker: &str) -> anyhow::Result<String> {
        cgroups::make(&Path::new(&self.cgroup).join(worker))?;
        Ok(format!("/{}/{worker}", self.cgroup))
    }
}

/// What tells test runners that something was left out.
const SKIPPED: u8 = 77;

/// Runs a program with its arguments and gives its exit code; without a program, it only gets ready. On a machine that
/// cannot have a cluster it says what is missing, and gives 77. Must be called on the main thread: what it starts ends
/// with the thread.
pub async fn enter(program: Vec<OsString>) -> anyhow::Result<u8> {
    if let Some(missing) = requirements::missing().await {
        say(&format!("{missing}: nothing is tried on real nodes"));
        return Ok(SKIPPED);
    }
    Programs::prepare().await?;
    if program.is_empty() {
        return Ok(0);
    }
    cgroups::remove_abandoned();
    let cgroup = Cgroup::new()?;
    let scratch = Scratch::new()?;
    // Programs that refuse to run as root have folders of their own in there.
    std::fs::set_permissions(scratch.path(), PermissionsExt::from_mode(0o711))?;
    let mut command = Command::new("setpriv");
    command
        .args([
            "--pdeathsig",
            "KILL",
            "unshare",
            "--fork",
            "--kill-child",
            "--pid",
            "--mount-proc",
            "--mount",
            "--net",
        ])
        .args(["sh", "-c", INSIDE, "sh"])
        .args(program)
        .env(CGROUP, cgroup.name())
        // What is left in there goes with it.
        .env("TMPDIR", scratch.path())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let mut inside = command.spawn().context("cannot run setpriv")?;
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let ended = tokio::select! {
        ended = inside.wait() => Some(ended?),
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
    };
    inside.kill().await?;
    Ok(ended.map_or(130, code))
}

/// As a shell has it.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
