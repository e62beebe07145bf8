//! A whole cluster: the control plane, and workers with a real kubelet and container runtime, on which pods run.
//!
//! It needs root and namespaces of its own, which [`enter`](enter::enter) makes around a test program: everything here
//! ends with them. (The posing node of [`crate::node`] is for tests in which nothing has to run.)

pub mod enter;

mod image;
mod network;
mod programs;
mod worker;

use std::{
    net::Ipv4Addr,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use tokio::time::sleep;

use self::programs::Programs;
pub use self::worker::Worker;
use crate::{Child, ControlPlane, Program, certificates::CLUSTER_ADDRESS, shared::Shared};

/// How long `CoreDNS` may take to start.
const DEADLINE: Duration = Duration::from_mins(1);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// A control plane with kube-scheduler, cluster DNS and two workers.
#[derive(Debug)]
pub struct Cluster {
    // In the order of their end.
    workers: Vec<Worker>,
    dns: Child,
    scheduler: Child,
    control_plane: ControlPlane,
}

impl Cluster {
    /// The cluster that all tests of this process share. Fails outside of [`enter`](enter::enter).
    pub async fn shared() -> anyhow::Result<&'static Self> {
        static SHARED: Shared<Cluster> = Shared::empty();
        SHARED.get(Self::start).await
    }

    async fn start() -> anyhow::Result<Self> {
        let surroundings = enter::surroundings()?;
        let programs = Programs::prepare().await?;
        let places = network::build(&["node-a", "node-b"]).await?;
        let control_plane = ControlPlane::start_for_nodes(address()?).await?;
        let scheduler = start_scheduler(&control_plane, &programs)?;
        let dns = start_dns(&control_plane, &programs)?;
        let pause = control_plane.directory().join("pause.tar");
        image::archive(worker::PAUSE, &programs.pause(), &pause).await?;
        let workers =
            places.iter().map(|place| Worker::start(&control_plane, &programs, place, &surroundings, &pause));
        let workers = try_join_all(workers).await?;
        answers(&dns).await?;
        Ok(Self { workers, dns, scheduler, control_plane })
    }

    /// Its control plane.
    pub const fn control_plane(&self) -> &ControlPlane {
        &self.control_plane
    }

    /// Its workers.
    pub fn workers(&self) -> &[Worker] {
        &self.workers
    }

    /// The address of this machine as pods and nodes reach it.
    pub fn address(&self) -> anyhow::Result<Ipv4Addr> {
        address()
    }

    /// What runs beside the control plane and the workers, by name.
    pub fn programs(&self) -> [(&'static str, &Child); 2] {
        [("kube-scheduler", &self.scheduler), ("coredns", &self.dns)]
    }

    /// Gives all workers the images in an archive. They keep their names.
    pub async fn import(&self, archive: &Path) -> anyhow::Result<()> {
        try_join_all(self.workers.iter().map(|worker| worker.import(archive))).await?;
        Ok(())
    }
}

fn address() -> anyhow::Result<Ipv4Addr> {
    CLUSTER_ADDRESS.parse().context("the cluster's address")
}

fn start_scheduler(control_plane: &ControlPlane, programs: &Programs) -> anyhow::Result<Child> {
    let folder = control_plane.directory();
    let kubeconfig = folder.join("scheduler.kubeconfig");
    control_plane.kubeconfig_of("system:kube-scheduler", None, &kubeconfig)?;
    let kubeconfig = kubeconfig.display();
    Program::new(programs.nodes.join("kube-scheduler"))
        .arg(format!("--kubeconfig={kubeconfig}"))
        .arg(format!("--authentication-kubeconfig={kubeconfig}"))
        .arg(format!("--authorization-kubeconfig={kubeconfig}"))
        .args(["--leader-elect=false", "--secure-port=0", "--profiling=false"])
        .own_group()
        .start(&folder.join("kube-scheduler.log"))
}

/// It answers for the cluster's names and for no others: there is no way out.
fn start_dns(control_plane: &ControlPlane, programs: &Programs) -> anyhow::Result<Child> {
    let folder = control_plane.directory();
    let kubeconfig = folder.join("dns.kubeconfig");
    control_plane.kubeconfig_of("coredns", Some("system:masters"), &kubeconfig)?;
    let corefile = folder.join("Corefile");
    let text = format!(
        ".:53 {{\n bind {CLUSTER_ADDRESS}\n ready {CLUSTER_ADDRESS}:{READY_PORT}\n errors\n \
         kubernetes cluster.local {{\n  kubeconfig {}\n }}\n}}\n",
        kubeconfig.display()
    );
    std::fs::write(&corefile, text)?;
    Program::new(programs.dns.join("coredns"))
        .arg("-conf")
        .arg(&corefile)
        .own_group()
        .start(&folder.join("coredns.log"))
}

const READY_PORT: u16 = 8181;

async fn answers(dns: &Child) -> anyhow::Result<()> {
    let url = format!("http://{CLUSTER_ADDRESS}:{READY_PORT}/ready");
    let http = crate::tls::plain().build()?;
    let until = Instant::now() + DEADLINE;
    while !http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
        ensure!(dns.is_running() && Instant::now() < until, "CoreDNS is not ready: {}", dns.last_lines(20));
        sleep(LOOK).await;
    }
    Ok(())
}
