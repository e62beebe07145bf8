//! What a cluster runs beside its control plane: built once out of Go modules, or installed by the machine's owner.

use std::path::PathBuf;

use crate::{binaries, chart, go_module::GoModule};

const NODES: [&str; 4] = [
    include_str!("../../node-programs/main.go"),
    include_str!("../../node-programs/pause/main.go"),
    include_str!("../../node-programs/go.mod"),
    include_str!("../../node-programs/go.sum"),
];
const DNS: [&str; 3] = [
    include_str!("../../coredns/main.go"),
    include_str!("../../coredns/go.mod"),
    include_str!("../../coredns/go.sum"),
];

/// The folders of the programs.
#[derive(Debug)]
pub(super) struct Programs {
    /// kube-scheduler, kubelet, kube-proxy and pause.
    pub(super) nodes: PathBuf,
    /// `CoreDNS`.
    pub(super) dns: PathBuf,
}

impl Programs {
    /// Finds them in the cache, and with them the control plane and helm, and builds what is not there. In a cluster
    /// there is no way out to fetch anything.
    pub(super) async fn prepare() -> anyhow::Result<Self> {
        binaries::folder().await?;
        chart::helm().await?;
        let nodes = GoModule {
            name: "node-programs",
            version: binaries::version()?,
            sources: &NODES,
            packages: &[".", "./pause"],
            programs: &["kube-scheduler", "kubelet", "kube-proxy"],
            linker_flags: binaries::linker_flags()?,
            takes: "5 minutes",
        };
        let dns = GoModule {
            name: "coredns",
            version: "1.14.3",
            sources: &DNS,
            packages: &["."],
            programs: &[],
            linker_flags: "-s -w".to_owned(),
            takes: "2 minutes",
        };
        Ok(Self { nodes: nodes.folder().await?, dns: dns.folder().await? })
    }

    pub(super) fn pause(&self) -> PathBuf {
        self.nodes.join("pause")
    }
}
