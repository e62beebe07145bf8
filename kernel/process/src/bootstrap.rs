//! How a process starts and ends: arguments, logs, the second port, signals, drain.

use std::{future::Future, net::SocketAddr, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::{Args, Parser, builder::Resettable, error::ErrorKind};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

use crate::{
    health::Health,
    http::{self, Ending},
    logs,
    metrics::Metrics,
};

/// Arguments that every process takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Process")]
pub struct ProcessArgs {
    /// Address of /healthz, /readyz and /metrics.
    #[arg(long, env = "TENTACULAR_OBSERVE_ADDR")]
    pub observe_addr: Option<SocketAddr>,
    /// What is logged: a level, or tracing directives such as `info,tentacular_kernel=debug`.
    // kube warns of every refused watch, which is ordinary while an enclave is new; rmcp tells three lines a request.
    #[arg(long, env = "TENTACULAR_LOG", default_value = "info,rmcp=warn,kube_client=error")]
    pub log: String,
    /// Seconds that work in flight has to end after SIGTERM.
    #[arg(long, env = "TENTACULAR_DRAIN_SECONDS", default_value_t = 640)]
    pub drain_seconds: u64,
}

/// A process: its arguments and its name.
pub trait Part: Parser {
    /// The name in `tentacular-<name>`.
    const NAME: &'static str;
    /// Port of [`ProcessArgs::observe_addr`] on all addresses, where the argument is left out.
    const OBSERVE_PORT: u16;

    /// The arguments that every process takes.
    fn process(&self) -> &ProcessArgs;

    /// Does what a subcommand asks for and says with which status the process ends; `None` where there is no subcommand,
    /// and the process serves.
    fn subcommand(&mut self) -> Option<anyhow::Result<ExitCode>> {
        None
    }
}

/// What a running process has at hand.
#[derive(Debug, Clone)]
pub struct Context {
    /// Cancelled when the process is to end: take nothing new, finish what runs.
    pub draining: CancellationToken,
    /// What /readyz says.
    pub health: Health,
    /// What /metrics says.
    pub metrics: Metrics,
    /// How long work in flight has to end once draining began.
    pub drain_time: Duration,
    failed: mpsc::Sender<anyhow::Error>,
}

#[cfg(test)]
impl Context {
    /// A context without a process around it.
    pub(crate) fn alone() -> Self {
        Self {
            draining: CancellationToken::new(),
            health: Health::default(),
            metrics: Metrics::default(),
            drain_time: Duration::from_secs(10),
            failed: mpsc::channel(1).0,
        }
    }
}

impl Context {
    /// How a listener ends with the process. It still accepts for some time after draining began, as others learn of a process's
    /// end only after a moment.
    pub fn ending(&self, linger: Duration) -> Ending {
        let (draining, stop) = (self.draining.clone(), CancellationToken::new());
        let stopping = stop.clone();
        tokio::spawn(async move {
            draining.cancelled().await;
            tokio::time::sleep(linger).await;
            stopping.cancel();
        });
        Ending { leaving: self.draining.clone(), stop, drain_time: self.drain_time }
    }

    /// Runs `task` for as long as the process lives. When it ends before draining, or panics, the process ends.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let (failed, draining) = (self.failed.clone(), self.draining.clone());
        tokio::spawn(async move {
            let error = match tokio::spawn(task).await {
                _ if draining.is_cancelled() => return,
                Ok(Ok(())) => anyhow::anyhow!("the task ended"),
                Ok(Err(error)) => error,
                Err(panic) => panic.into(),
            };
            let _ = failed.send(error.context(name)).await;
        });
    }
}

/// Parses the arguments and runs the process until it is told to end, or what its subcommand asks for.
///
/// Exits with 0 after a drain, with 2 for bad arguments, with 1 when the start or a background task failed. Bad
/// arguments and a failed start are one line on standard error.
pub fn main<P, F, R>(run: F) -> ExitCode
where
    P: Part,
    F: FnOnce(P, Context) -> R,
    R: Future<Output = anyhow::Result<()>>,
{
    let mut part = match parse::<P>() {
        Ok(part) => part,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => error.exit(),
        Err(error) => {
            complain::<P>(&argument_error(&error));
            return ExitCode::from(2);
        }
    };
    let ended = part.subcommand().unwrap_or_else(|| serve(part, run));
    ended.unwrap_or_else(|error| {
        complain::<P>(&format!("{error:#}"));
        ExitCode::FAILURE
    })
}

/// Runs the process until it is told to end.
fn serve<P, F, R>(part: P, run: F) -> anyhow::Result<ExitCode>
where
    P: Part,
    F: FnOnce(P, Context) -> R,
    R: Future<Output = anyhow::Result<()>>,
{
    allow_all_files();
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(until_ended(part, run))?;
    Ok(ExitCode::SUCCESS)
}

/// Reads flags and environment. A variable that is set to nothing counts as not set: charts write such ones.
fn parse<P: Part>() -> Result<P, clap::Error> {
    let mut command = P::command().mut_args(|arg| {
        let is_empty = arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
        if is_empty { arg.env(Resettable::Reset) } else { arg }
    });
    let matches = command.try_get_matches_from_mut(std::env::args_os())?;
    P::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// Takes the file descriptors that the system grants: some container runtimes start with 1024 of them, and a connection is
/// one.
fn allow_all_files() {
    let granted = getrlimit(Resource::Nofile);
    // Where it is refused, there are as many as before.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: granted.maximum, ..granted });
}

#[expect(
    clippy::print_stderr,
    reason = "the one line that says why a process does not run must not need a log reader"
)]
fn complain<P: Part>(what: &str) {
    eprintln!("tentacular-{}: {}", P::NAME, what.replace('\n', " "));
}

/// The first paragraph of clap's message, on one line.
fn argument_error(error: &clap::Error) -> String {
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let words = first.trim_start_matches("error: ").split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{words} (see --help)")
}

async fn until_ended<P, F, R>(part: P, run: F) -> anyhow::Result<()>
where
    P: Part,
    F: FnOnce(P, Context) -> R,
    R: Future<Output = anyhow::Result<()>>,
{
    let ProcessArgs { observe_addr, log, drain_seconds } = part.process().clone();
    logs::start(&log)?;
    let address = observe_addr.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], P::OBSERVE_PORT)));
    let observe = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} for health and metrics (--observe-addr)"))?;
    let address = observe.local_addr()?;
    tracing::info!(part = P::NAME, version = env!("CARGO_PKG_VERSION"), %address, "observing");
    let (failed, mut failures) = mpsc::channel(1);
    let context = Context {
        draining: CancellationToken::new(),
        health: Health::default(),
        metrics: Metrics::default(),
        drain_time: Duration::from_secs(drain_seconds),
        failed,
    };
    context.spawn("observe", observe_server(observe, context.clone()));
    context.spawn("signals", end_on_signal(context.clone())?);
    tokio::select! {
        ended = run(part, context.clone()) => ended?,
        Some(error) = failures.recv() => return Err(error),
    }
    tracing::info!(part = P::NAME, "ended");
    Ok(())
}

/// Serves the second port to the very end, so that it can be seen draining.
async fn observe_server(listener: TcpListener, context: Context) -> anyhow::Result<()> {
    let never = CancellationToken::new();
    http::serve(listener, crate::health::Observe::new(&context), Ending::at(&never, Duration::ZERO)).await;
    Ok(())
}

fn end_on_signal(context: Context) -> anyhow::Result<impl Future<Output = anyhow::Result<()>>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("draining");
        context.health.drain();
        context.draining.cancel();
        Ok(())
    })
}
