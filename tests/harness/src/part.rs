//! The product's programs: where cargo built them, and what can be seen of them from outside.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::{Child, Program, eventually::Looks, tls};

/// How long a program may take to start; a loaded machine is slow.
const START: Duration = Duration::from_mins(3);
/// Shortest pause between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// One of the product's programs, or the example engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The kernel.
    Kernel,
    /// The registrar.
    Registrar,
    /// The scheduler.
    Scheduler,
    /// The auditor.
    Auditor,
    /// The admission webhook.
    Webhook,
    /// The example tentacle engine.
    Engine,
}

impl Part {
    /// The sidecars, in the order in which they are started.
    pub const SIDECARS: [Self; 3] = [Self::Registrar, Self::Scheduler, Self::Auditor];

    /// Its name, which for a sidecar is its socket's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Registrar => "registrar",
            Self::Scheduler => "scheduler",
            Self::Auditor => "auditor",
            Self::Webhook => "webhook",
            Self::Engine => "example-engine",
        }
    }

    /// The service account that it runs as.
    pub const fn account(self) -> &'static str {
        match self {
            Self::Registrar => "tentacular-registrar",
            Self::Scheduler => "tentacular-scheduler",
            Self::Webhook => "tentacular-webhook",
            Self::Kernel | Self::Auditor | Self::Engine => "tentacular-mcp",
        }
    }

    /// Its binary, built in the same profile as the running program.
    pub fn binary(self) -> anyhow::Result<PathBuf> {
        let own = std::env::current_exe().context("cannot find the own binary")?;
        let mut folder = own.parent().context("the own binary has no folder")?;
        if folder.ends_with("deps") {
            folder = folder.parent().context("the own binary has no profile folder")?;
        }
        let binary = folder.join(format!("tentacular-{}", self.name()));
        ensure!(binary.exists(), "{} is not built: run `cargo build --workspace --bins` first", binary.display());
        Ok(binary)
    }
}

/// The domain under which enclaves have hosts, for all parts alike.
pub const INGRESS_DOMAIN: &str = "apps.example.org";

/// The program of a part, without the variables of this process that would configure it.
pub fn program(part: Part) -> anyhow::Result<Program> {
    tls::use_ring();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let program = Program::new(part.binary()?).env_clear().env("PATH", path).env("RUST_BACKTRACE", "1");
    Ok(program.env("TENTACULAR_INGRESS_DOMAIN", INGRESS_DOMAIN).own_group())
}

/// Waits until the part's log has a line with this message, and returns one of its fields as text.
pub async fn logged(child: &Child, message: &str, field: &str) -> anyhow::Result<String> {
    let looks = Looks::every(LOOK);
    loop {
        let log = child.log();
        let line = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|line| line["message"] == message);
        if let Some(line) = line {
            return Ok(line[field].as_str().with_context(|| format!("no field {field} in {line}"))?.to_owned());
        }
        look_again(child, &looks, &format!("a log line {message:?}")).await?;
    }
}

/// Waits until /readyz of the part says that it can serve.
pub async fn ready(child: &Child) -> anyhow::Result<()> {
    let address = logged(child, "observing", "address").await?;
    let looks = Looks::every(LOOK);
    let http = tls::plain().build()?;
    loop {
        if let Ok(response) = http.get(format!("http://{address}/readyz")).send().await
            && response.status().is_success()
        {
            return Ok(());
        }
        look_again(child, &looks, "readiness").await?;
    }
}

async fn look_again(child: &Child, looks: &Looks, what: &str) -> anyhow::Result<()> {
    if !child.is_running() {
        let log = child.log();
        // Why a part does not start is the one line that is no log entry.
        let said: Vec<_> = log.lines().filter(|line| !line.starts_with('{')).collect();
        let said = if said.is_empty() { child.last_lines(5) } else { said.join("\n") };
        bail!("a process ended before {what}: {said}");
    }
    if looks.waited() > START {
        bail!("{} shows no {what} in {} s: {}", child.log_path().display(), START.as_secs(), child.last_lines(5));
    }
    looks.pause().await;
    Ok(())
}
