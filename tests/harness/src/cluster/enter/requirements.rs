//! What a machine must have for a cluster.

use std::{path::Path, process::Stdio};

use tokio::process::Command;

use crate::{cache::find_program, cluster::worker::CNI_PLUGINS, say::say};

/// Programs, and the Debian packages that have them.
const PROGRAMS: [(&str, &str); 11] = [
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("conntrack", "conntrack"),
    ("sysctl", "procps"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    // For the images of the product.
    ("buildah", "buildah"),
];
const PLUGINS: [&str; 4] = ["ptp", "host-local", "portmap", "loopback"];
const PLUGINS_PACKAGE: &str = "containernetworking-plugins";

/// What this machine lacks. Packages are installed where Debian's package manager is.
pub(super) async fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("a cluster with real nodes needs root".to_owned());
    }
    let packages = missing_packages();
    if packages.is_empty() {
        return None;
    }
    say(&format!("installing {} once", packages.join(" ")));
    install(&packages).await;
    let packages = missing_packages();
    (!packages.is_empty())
        .then(|| format!("a cluster with real nodes needs the Debian packages {}", packages.join(" ")))
}

fn missing_packages() -> Vec<&'static str> {
    let programs =
        PROGRAMS.iter().filter(|(program, _)| find_program(program).is_none()).map(|(_, package)| *package);
    let plugins =
        PLUGINS.iter().filter(|plugin| !Path::new(CNI_PLUGINS).join(plugin).exists()).map(|_| PLUGINS_PACKAGE);
    let mut packages: Vec<_> = programs.chain(plugins).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

/// Does what it can; who asked looks at what is there then.
async fn install(packages: &[&str]) {
    for args in [&["update"][..], &["install", "--yes", "--no-install-recommends"]] {
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq").args(args).stdin(Stdio::null()).stdout(Stdio::null());
        if args.len() > 1 {
            apt.args(packages);
        }
        // Without it, nothing is installed.
        let _ = apt.status().await;
    }
}
