//! The load: requests that are ready-made, on connections that are kept, from one thread, as it shares the machine with
//! what it measures. Every answer is compared with one that was looked at before.

use std::{
    fmt,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::{
    Method, Request, StatusCode,
    header::{AUTHORIZATION, HOST},
};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tentacular_demo::Message;
use tokio::{net::TcpStream, task::JoinSet};

use crate::report::{ms, percentile};

/// Connections at once, each with one request at a time.
pub(crate) const CONNECTIONS: usize = 16;

/// What is asked, and how long its answer is.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) name: &'static str,
    address: SocketAddr,
    request: Request<Full<Bytes>>,
    /// All answers are of this length, as all requests are the same.
    length: usize,
    /// How much longer or shorter one may be: ages grow.
    slack: usize,
}

/// When a round ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    /// After this time.
    Time(Duration),
    /// After so many requests: of [`run`], all connections together.
    Count(usize),
}

/// What was measured in one round.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} a second, p50 {:.2} ms, p99 {:.2} ms", self.per_second, ms(self.p50), ms(self.p99))
    }
}

impl Target {
    /// Posts a message to `/mcp`.
    pub(crate) fn post(
        name: &'static str,
        address: SocketAddr,
        token: Option<&str>,
        message: Message,
    ) -> anyhow::Result<Self> {
        let mut request = Request::builder().method(Method::POST).uri("/mcp").header(HOST, address.to_string());
        for (name, value) in message.headers {
            request = request.header(name, value);
        }
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::new(Bytes::from(message.body)))?;
        Ok(Self { name, address, request, length: 0, slack: 0 })
    }

    /// Gets a path.
    pub(crate) fn get(name: &'static str, address: SocketAddr, path: &str) -> anyhow::Result<Self> {
        let request = Request::builder().uri(path).header(HOST, address.to_string()).body(Full::default())?;
        Ok(Self { name, address, request, length: 0, slack: 0 })
    }

    /// Asks once: the answer must hold `part`, and all later ones must be as long.
    pub(crate) async fn probed(mut self, part: &str) -> anyhow::Result<Self> {
        let mut sender = connect(self.address).await?;
        let response = sender.send_request(self.request.clone()).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        let text = String::from_utf8_lossy(&body);
        ensure!(status == StatusCode::OK && text.contains(part), "{}: {status}, {text}", self.name);
        self.length = body.len();
        Ok(self)
    }

    /// The same where answers have ages in them: their lengths differ, by less than a tenth.
    pub(crate) fn with_ages(mut self) -> Self {
        self.slack = self.length / 10;
        self
    }

    /// Length of an answer's body, in bytes.
    pub(crate) const fn length(&self) -> usize {
        self.length
    }

    async fn ask(&self, sender: &mut SendRequest<Full<Bytes>>) -> anyhow::Result<()> {
        sender.ready().await?;
        let response = sender.send_request(self.request.clone()).await?;
        let status = response.status();
        let (mut body, mut length) = (response.into_body(), 0);
        while let Some(frame) = body.frame().await {
            length += frame?.data_ref().map_or(0, Bytes::len);
        }
        ensure!(
            status == StatusCode::OK && length.abs_diff(self.length) <= self.slack,
            "{}: {status} with {length} bytes, where {} were right",
            self.name,
            self.length
        );
        Ok(())
    }
}

/// One round, in a thread and a runtime of its own.
pub(crate) async fn run(target: &Target, until: Until) -> anyhow::Result<Round> {
    run_on(CONNECTIONS, target, until).await
}

/// The same on another number of connections.
pub(crate) async fn run_on(connections: usize, target: &Target, until: Until) -> anyhow::Result<Round> {
    let target = target.clone();
    let thread = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(round(connections, target, until))
    };
    tokio::task::spawn_blocking(thread).await?
}

async fn round(connections: usize, target: Target, until: Until) -> anyhow::Result<Round> {
    let until = match until {
        Until::Count(count) => Until::Count(count / connections),
        until @ Until::Time(_) => until,
    };
    let mut senders = Vec::new();
    for _ in 0..connections {
        senders.push(connect(target.address).await?);
    }
    let begun = Instant::now();
    let mut loads = JoinSet::new();
    for sender in senders {
        loads.spawn(load(target.clone(), sender, begun, until));
    }
    let mut times = Vec::new();
    while let Some(load) = loads.join_next().await {
        times.extend(load??);
    }
    let elapsed = begun.elapsed();
    let count = u32::try_from(times.len()).context("more requests than are counted")?;
    let per_second = f64::from(count) / elapsed.as_secs_f64();
    Ok(Round { per_second, p50: percentile(&times, 50), p99: percentile(&times, 99) })
}

/// One connection's requests, one after the other.
async fn load(
    target: Target,
    mut sender: SendRequest<Full<Bytes>>,
    begun: Instant,
    until: Until,
) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::new();
    let mut now = Instant::now();
    loop {
        let goes_on = match until {
            Until::Time(time) => now - begun < time,
            Until::Count(count) => times.len() < count,
        };
        if !goes_on {
            return Ok(times);
        }
        target.ask(&mut sender).await?;
        let answered = Instant::now();
        times.push(answered - now);
        now = answered;
    }
}

async fn connect(address: SocketAddr) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}
