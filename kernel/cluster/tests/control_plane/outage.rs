//! What the watches show while the API server is out of reach, and after.

use std::{path::Path, time::Duration};

use k8s_openapi::api::apps::v1::Deployment;
use tentacular_cluster::{Cluster, STALE_AFTER};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    time::Instant,
};

use crate::support::{World, until, watch};

/// A way to the API server that can be cut.
struct Way {
    open: watch::Sender<bool>,
    port: u16,
}

impl Way {
    async fn to(server: &str) -> Self {
        let server = server.trim_start_matches("https://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let open = watch::Sender::new(true);
        let state = open.clone();
        tokio::spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let (server, mut state) = (server.clone(), state.subscribe());
                tokio::spawn(async move {
                    let pass = async {
                        let mut far = TcpStream::connect(server).await?;
                        copy_bidirectional(&mut near, &mut far).await
                    };
                    tokio::select! {
                        _ = state.wait_for(|open| !open) => {}
                        _ = pass => {}
                    }
                });
            }
        });
        Self { open, port }
    }

    /// The cluster, reached by this way.
    async fn cluster(&self, kubeconfig: &Path, server: &str) -> Cluster {
        let text = std::fs::read_to_string(kubeconfig).unwrap();
        let path = kubeconfig.with_extension("way");
        std::fs::write(&path, text.replace(server, &format!("https://127.0.0.1:{}", self.port))).unwrap();
        Cluster::from_kubeconfig("test", &path).await.unwrap()
    }
}

#[tokio::test]
async fn an_outage_is_seen_and_heals() {
    let world = World::new().await;
    let name = world.name("outage");
    world.enclave(&name).await;
    world.bind(&name).await;
    world.deploy(&name, "before").await;
    let server = world.control_plane.url();
    let way = Way::to(server).await;
    let cluster = way.cluster(&world.kubeconfig().await, server).await;
    let (enclaves, deployments) = watch::<Deployment>(&cluster).await;
    assert!(deployments.has_synced(&name));
    assert_eq!(deployments.freshness(&name).failing_since, None);

    way.open.send_replace(false);
    until("the outage is seen", async || {
        enclaves.freshness().failing_since.is_some() && deployments.freshness(&name).failing_since.is_some()
    })
    .await;
    assert!(deployments.get(&name, "before").is_some(), "what was seen stays");
    assert!(!deployments.freshness(&name).is_stale(Instant::now()));
    assert!(deployments.freshness(&name).is_stale(Instant::now() + STALE_AFTER));
    assert!(cluster.probe().await.unwrap_err().is_unavailable());

    world.deploy(&name, "after").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    way.open.send_replace(true);
    until("the watches heal", async || {
        deployments.freshness(&name).failing_since.is_none() && deployments.get(&name, "after").is_some()
    })
    .await;
    assert!(deployments.is_ready() && enclaves.is_ready());
}
