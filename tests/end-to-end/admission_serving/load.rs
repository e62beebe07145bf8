//! Up to fifty writes a second that the webhook is asked about, and beside them connections as of API servers that have
//! none yet: one that goes on with an old connection does not notice a wrong certificate.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use kube::Client;
use tentacular_test_harness::{installation::Replica, tls};
use tokio::{
    sync::oneshot,
    task::{JoinHandle, JoinSet},
    time::{MissedTickBehavior, interval},
};

use super::place::{bundles, write};

/// Between two writes.
const PAUSE: Duration = Duration::from_millis(20);
/// Between two connections to each replica.
const CONNECT: Duration = Duration::from_millis(200);
/// Unanswered ones of both at a time: a slow machine is asked less often, since what waits longer than the API server
/// does would fail by no fault of the webhook.
const AT_ONCE: usize = 8;

/// The load, until it is stopped.
pub(super) struct Load {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Report>,
}

/// What became of it.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) sent: u32,
    pub(super) failed: Vec<Failed>,
}

/// A write or a connection that failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) begun: Instant,
    pub(super) error: String,
}

impl Load {
    /// Begins; `connected` are the replicas to which connections are made.
    pub(super) fn start(client: &Client, connected: &[&Replica]) -> Self {
        let (stop, stopped) = oneshot::channel();
        let urls = connected.iter().map(|replica| format!("https://{}/", replica.endpoint.address)).collect();
        Self { stop, task: tokio::spawn(run(client.clone(), urls, stopped)) }
    }

    /// Ends, once all that was sent is answered.
    pub(super) async fn stop(self) -> anyhow::Result<Report> {
        // Without a receiver it has ended by a panic, which the task tells.
        let _ = self.stop.send(());
        Ok(self.task.await?)
    }
}

async fn run(client: Client, urls: Vec<String>, mut stopped: oneshot::Receiver<()>) -> Report {
    let (mut report, mut tasks) = (Report::default(), JoinSet::new());
    let (mut write_next, mut connect_next) = (interval(PAUSE), interval(CONNECT));
    for ticks in [&mut write_next, &mut connect_next] {
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            _ = write_next.tick(), if tasks.len() < AT_ONCE => {
                report.sent += 1;
                let client = client.clone();
                tasks.spawn(failed(async move { Ok(write(&client).await?) }));
            }
            _ = connect_next.tick(), if tasks.len() < AT_ONCE => {
                for url in urls.clone() {
                    let client = client.clone();
                    tasks.spawn(failed(async move { connect(&client, &url).await }));
                }
            }
            Some(ended) = tasks.join_next() => report.failed.extend(ended.unwrap()),
        }
    }
    while let Some(ended) = tasks.join_next().await {
        report.failed.extend(ended.unwrap());
    }
    report
}

async fn failed(attempt: impl Future<Output = anyhow::Result<()>>) -> Option<Failed> {
    let begun = Instant::now();
    attempt.await.err().map(|error| Failed { begun, error: format!("{error:#}") })
}

/// A new connection by the CAs of each entry, once where entries have the same, whatever its answer.
async fn connect(client: &Client, url: &str) -> anyhow::Result<()> {
    for bundle in BTreeSet::from_iter(bundles(client).await?) {
        tls::trusting_pem(&bundle)?.build()?.get(url).send().await?;
    }
    Ok(())
}
