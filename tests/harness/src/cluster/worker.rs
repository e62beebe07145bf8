//! A worker: containerd, kubelet and kube-proxy in a network namespace of its own.

mod config;

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use rustix::process::{Signal, kill_process};
use tokio::{process::Command, time::sleep};

pub(super) use self::config::CNI_PLUGINS;
use super::{
    enter::{Surroundings, cgroups},
    network::Place,
    programs::Programs,
};
use crate::{Child, ControlPlane, eventually};

/// The image that keeps a pod's namespaces.
pub(super) const PAUSE: &str = "localhost/pause:1";

/// How long containerd may take to start.
const DEADLINE: Duration = Duration::from_mins(1);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// A running worker.
#[derive(Debug)]
pub struct Worker {
    // In the order of their end.
    kubelet: Child,
    proxy: Child,
    containerd: Child,
    place: Place,
    socket: PathBuf,
    cgroup: String,
}

impl Worker {
    /// Starts one and waits until its node is ready.
    pub(super) async fn start(
        control_plane: &ControlPlane,
        programs: &Programs,
        place: &Place,
        surroundings: &Surroundings,
        pause: &Path,
    ) -> anyhow::Result<Self> {
        let name = &place.name;
        let cgroup = surroundings.cgroup(name)?;
        let files = config::Files::write(control_plane, place, &cgroup)?;
        let socket = files.socket();
        let log = |program: &str| files.folder.join(format!("{program}.log"));
        let containerd =
            place.program("containerd").arg("--config").arg(files.containerd()).start(&log("containerd"))?;
        listens(&containerd, &socket).await?;
        ctr(&socket, &["images", "import"], &[pause]).await?;
        let kubelet = place
            .program(&programs.nodes.join("kubelet").display().to_string())
            .arg(format!("--config={}", files.kubelet().display()))
            .arg(format!("--kubeconfig={}", files.kubelet_kubeconfig().display()))
            .arg(format!("--root-dir={}", files.folder.join("kubelet").display()))
            .arg(format!("--cert-dir={}", files.folder.join("kubelet-pki").display()))
            .arg(format!("--hostname-override={name}"))
            .arg(format!("--node-ip={}", place.address))
            .start(&log("kubelet"))?;
        let proxy = place
            .program(&programs.nodes.join("kube-proxy").display().to_string())
            .arg(format!("--config={}", files.proxy().display()))
            .arg(format!("--hostname-override={name}"))
            .start(&log("kube-proxy"))?;
        let worker = Self { kubelet, proxy, containerd, place: place.clone(), socket, cgroup };
        let nodes = Api::<Node>::all(control_plane.admin()?);
        eventually(&nodes, name, |node: Option<&Node>| node.is_some_and(is_ready))
            .await
            .with_context(|| format!("node {name}: {}", worker.kubelet.last_lines(20)))?;
        Ok(worker)
    }

    /// The name of its node.
    pub fn name(&self) -> &str {
        &self.place.name
    }

    /// The address of its node.
    pub const fn address(&self) -> Ipv4Addr {
        self.place.address
    }

    /// Its programs by name.
    pub fn programs(&self) -> [(&'static str, &Child); 3] {
        [("containerd", &self.containerd), ("kubelet", &self.kubelet), ("kube-proxy", &self.proxy)]
    }

    /// Kills all processes of a pod at once. Returns how many there were.
    pub fn kill_pod(&self, uid: &str) -> anyhow::Result<usize> {
        let pids = cgroups::processes(&self.cgroup, &format!("pod{uid}"))?;
        for &pid in &pids {
            // One that ended in the meantime is gone too.
            let _ = kill_process(pid, Signal::KILL);
        }
        Ok(pids.len())
    }

    pub(super) async fn import(&self, archive: &Path) -> anyhow::Result<()> {
        ctr(&self.socket, &["images", "import"], &[archive]).await
    }
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

async fn listens(containerd: &Child, socket: &Path) -> anyhow::Result<()> {
    let until = Instant::now() + DEADLINE;
    while ctr(socket, &["version"], &[]).await.is_err() {
        let last = || format!("containerd does not listen: {}", containerd.last_lines(20));
        ensure!(containerd.is_running() && Instant::now() < until, last());
        sleep(LOOK).await;
    }
    Ok(())
}

async fn ctr(socket: &Path, args: &[&str], files: &[&Path]) -> anyhow::Result<()> {
    let mut ctr = Command::new("ctr");
    ctr.arg("--address").arg(socket).args(["--namespace", "k8s.io"]).args(args).args(files).kill_on_drop(true);
    let output = ctr.output().await.context("cannot run ctr")?;
    ensure!(output.status.success(), "ctr {args:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
