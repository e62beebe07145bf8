//! The cluster's network: a bridge, and each worker behind it in a network namespace of its own. Pods are routed.

use std::{net::Ipv4Addr, process::Stdio};

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use crate::{Program, certificates::CLUSTER_ADDRESS};

/// Where a worker is in the network.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Its name, which its namespace has too.
    pub(super) name: String,
    /// Its address.
    pub(super) address: Ipv4Addr,
    /// The network of its pods.
    pub(super) pods: String,
}

/// The networks of all pods.
pub(super) const PODS: &str = "10.244.0.0/16";

impl Place {
    fn new(index: u8, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            address: Ipv4Addr::new(10, 99, 0, index + 2),
            pods: format!("10.244.{}.0/24", index + 1),
        }
    }

    /// A program in its network. What mounts and processes there are is the same for all.
    pub(super) fn program(&self, path: &str) -> Program {
        Program::new("nsenter").arg(format!("--net=/run/netns/{}", self.name)).arg("--").arg(path).own_group()
    }
}

/// Builds it, in the network namespace of this process, which must be a new one.
pub(super) async fn build(names: &[&str]) -> anyhow::Result<Vec<Place>> {
    let places: Vec<Place> = (0..).zip(names).map(|(index, name)| Place::new(index, name)).collect();
    let mut lines = vec![
        "ip link set lo up".to_owned(),
        "ip link add cluster type bridge".to_owned(),
        format!("ip address add {CLUSTER_ADDRESS}/24 dev cluster"),
        "ip link set cluster up".to_owned(),
        "sysctl -qw net.ipv4.ip_forward=1".to_owned(),
    ];
    for Place { name, address, pods } in &places {
        lines.push(format!("ip netns add {name}"));
        lines.push(format!("ip link add {name} type veth peer name eth0 netns {name}"));
        lines.push(format!("ip link set {name} master cluster up"));
        lines.push(format!("ip -n {name} link set lo up"));
        lines.push(format!("ip -n {name} address add {address}/24 dev eth0"));
        lines.push(format!("ip -n {name} link set eth0 up"));
        lines.push(format!("ip -n {name} route add default via {CLUSTER_ADDRESS}"));
        lines.push(format!("ip route add {pods} via {address}"));
        lines.push(format!("nsenter --net=/run/netns/{name} sysctl -qw net.ipv4.ip_forward=1"));
    }
    for line in &lines {
        run(line).await?;
    }
    Ok(places)
}

async fn run(line: &str) -> anyhow::Result<()> {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap_or_default());
    let output = command.args(words).stdin(Stdio::null()).output().await.with_context(|| line.to_owned())?;
    ensure!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
