//! A server on a port of loopback that stays its own while it is killed and started again.

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context as _, ensure};
use futures::future::BoxFuture;
use reqwest::redirect::Policy;
use tokio::{io::AsyncReadExt as _, net::TcpStream, time::timeout};

use crate::{Child, Program, eventually::Looks, port::Port};

/// How long a start may take; a loaded machine is slow.
const START: Duration = Duration::from_mins(2);
/// Shortest pause between two looks.
const LOOK: Duration = Duration::from_millis(10);
/// How long one look may take: a server that is stuck must not keep us from looking at the clock.
const ASK: Duration = Duration::from_secs(5);

/// Tells whether the server, which has this pid, can serve.
pub(super) type Ready = Box<dyn Fn(u32) -> BoxFuture<'static, bool> + Send + Sync>;

/// Ends a server as a crash does. It leaves no process behind, and its connections are cut.
pub(super) type Crash = fn(&Child) -> anyhow::Result<()>;

/// A server. It ends when this is dropped, and with this process.
pub struct Daemon {
    program: Program,
    log: PathBuf,
    ready: Ready,
    crash: Crash,
    child: Option<Child>,
    port: Port,
}

impl Daemon {
    /// Starts `program`, which serves on `port`, and waits until it is ready.
    pub(super) async fn start(
        program: Program,
        port: Port,
        log: PathBuf,
        (ready, crash): (Ready, Crash),
    ) -> anyhow::Result<Self> {
        // A Ctrl-C in the terminal is for the owner, and a proxy that is set there is not for loopback.
        let program = program.env_clear().own_group();
        let mut daemon = Self { program, log, ready, crash, child: None, port };
        daemon.restart().await?;
        Ok(daemon)
    }

    /// Where it serves, also while it is away.
    pub const fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Ends it as a crash does, and waits for its end. Connections to its address are refused from now on.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        let Some(child) = self.child.take() else { return Ok(()) };
        (self.crash)(&child)?;
        child.wait().await?;
        Ok(())
    }

    /// Starts it on the same address with the same data, after killing it if it runs, and waits until it is ready.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.kill().await?;
        let child = self.child.insert(self.program.start(&self.log)?);
        let looks = Looks::every(LOOK);
        while !timeout(ASK, (self.ready)(child.pid())).await.unwrap_or(false) {
            ensure!(child.is_running(), "{} ended:\n{}", self.log.display(), child.last_lines(20));
            ensure!(looks.waited() < START, "{} is not ready:\n{}", self.log.display(), child.last_lines(20));
            looks.pause().await;
        }
        Ok(())
    }

    /// Lets it stand still until [`Self::resume`]: connections are made, and nothing answers.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.running()?.pause()
    }

    /// Lets it go on.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.running()?.resume()
    }

    /// Asks it to read its configuration again.
    pub fn reload(&self) -> anyhow::Result<()> {
        self.running()?.reload()
    }

    /// What it wrote so far.
    pub fn log(&self) -> anyhow::Result<String> {
        Ok(self.running()?.log())
    }

    fn running(&self) -> anyhow::Result<&Child> {
        self.child.as_ref().context("it does not run")
    }
}

impl fmt::Debug for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Daemon").field("address", &self.address()).field("child", &self.child).finish_non_exhaustive()
    }
}

/// Ready when the server greets with `greeting`.
pub(super) fn greets(address: SocketAddr, greeting: &'static [u8]) -> Ready {
    Box::new(move |_| {
        Box::pin(async move {
            let Ok(mut connection) = TcpStream::connect(address).await else { return false };
            let mut said = vec![0; greeting.len()];
            connection.read_exact(&mut said).await.is_ok_and(|_| said == greeting)
        })
    })
}

/// Ready when a GET of `url` is answered, if only with a refusal, and not with a failure.
pub(super) fn answers(http: reqwest::ClientBuilder, url: String) -> anyhow::Result<Ready> {
    // One of them sends strangers to its maker's site.
    let http = http.redirect(Policy::none()).build()?;
    Ok(Box::new(move |_| {
        let request = http.get(&url);
        Box::pin(async move { request.send().await.is_ok_and(|answer| !answer.status().is_server_error()) })
    }))
}
