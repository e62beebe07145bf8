//! The version of the API server: a namespace that asks for the latest Pod Security means that version's.

use std::time::Duration;

use tentacular_cluster::Cluster;
use tentacular_contract::pod_security::Version;
use tokio::{sync::watch, time::sleep};

/// How often it is asked for: an upgrade of the API server changes it.
const LOOK: Duration = Duration::from_mins(1);
/// The same until it was answered once.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// The version, and the future that keeps it up to date. Until the API server answered, it is the newest that is known.
pub(crate) fn follow(cluster: Cluster) -> (watch::Receiver<Version>, impl Future<Output = anyhow::Result<()>>) {
    let (sender, receiver) = watch::channel(Version::NEWEST);
    let following = async move {
        let (mut pause, mut told) = (LOOK_AGAIN, false);
        loop {
            match cluster.version().await {
                Ok(version) => {
                    sender.send_if_modified(|known| {
                        let version = Version::of_server(&version);
                        let changed = *known != version;
                        *known = version;
                        changed
                    });
                    (pause, told) = (LOOK, false);
                }
                Err(error) => {
                    if !std::mem::replace(&mut told, true) {
                        let assumed = sender.borrow().to_string();
                        tracing::warn!(%error, assumed, "the API server's version cannot be read; trying again");
                    }
                }
            }
            sleep(pause).await;
        }
    };
    (receiver, following)
}
