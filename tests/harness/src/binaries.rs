//! Finds etcd, kube-apiserver and kube-controller-manager, and builds them once when they are nowhere.
//!
//! No package registry carries a prebuilt kube-apiserver, but the Go module proxy has its sources. The folder
//! `control-plane` of this crate is a Go module whose one binary is all three programs.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};

use crate::go_module::GoModule;

/// The programs of a control plane, by the names that envtest also gives them.
pub const PROGRAMS: [&str; 3] = ["etcd", "kube-apiserver", "kube-controller-manager"];

/// A folder with the programs made elsewhere, as the kubebuilder tools name it.
const ASSETS: &str = "KUBEBUILDER_ASSETS";
const GO_MOD: &str = include_str!("../control-plane/go.mod");
const GO_SUM: &str = include_str!("../control-plane/go.sum");
const MAIN_GO: &str = include_str!("../control-plane/main.go");
/// The packages that carry the version which the server and its clients report.
const VERSION_PACKAGES: [&str; 2] = ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"];

/// The folder that holds the [`PROGRAMS`]: that of `KUBEBUILDER_ASSETS`, else one in the user's cache, which is built
/// when it is not there; another process that builds it already is waited for.
///
/// Fails when `KUBEBUILDER_ASSETS` lacks a program, when `go` is missing, and when the build fails.
pub async fn folder() -> anyhow::Result<PathBuf> {
    if let Some(assets) = std::env::var_os(ASSETS) {
        let assets = PathBuf::from(assets);
        ensure!(complete(&assets), "{ASSETS} is {}, which lacks one of {}", assets.display(), PROGRAMS.join(", "));
        return Ok(assets);
    }
    let module = GoModule {
        name: "control-plane",
        version: version()?,
        sources: &[MAIN_GO, GO_MOD, GO_SUM],
        packages: &["."],
        programs: &PROGRAMS,
        linker_flags: linker_flags()?,
        takes: "3 minutes",
    };
    let elsewhere = || format!("unless {ASSETS} is set to a folder with {}", PROGRAMS.join(", "));
    module.folder().await.with_context(elsewhere)
}

fn complete(folder: &Path) -> bool {
    PROGRAMS.iter().all(|program| folder.join(program).is_file())
}

/// The Kubernetes version of the sources, with its leading `v`.
pub(crate) fn version() -> anyhow::Result<&'static str> {
    GO_MOD
        .lines()
        .find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes v"))
        .map(|version| version.trim_start_matches('v').trim())
        .context("go.mod names no version of k8s.io/kubernetes")
}

/// What has the programs report the version that they are.
pub(crate) fn linker_flags() -> anyhow::Result<String> {
    let version = version()?;
    let mut parts = version.split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let variables = [("gitVersion", format!("v{version}")), ("gitMajor", major.into()), ("gitMinor", minor.into())];
    let mut flags = "-s -w".to_owned();
    for package in VERSION_PACKAGES {
        for (name, value) in &variables {
            write!(flags, " -X {package}.{name}={value}")?;
        }
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_reports_its_real_version() {
        let flags = linker_flags().unwrap();
        let version = version().unwrap();
        assert!(flags.contains(&format!("k8s.io/component-base/version.gitVersion=v{version}")), "{flags}");
        assert!(flags.contains("k8s.io/client-go/pkg/version.gitMajor=1"), "{flags}");
    }
}
