//! Finds etcd, kube-apiserver and kube-controller-manager, and builds them once when they are nowhere.
//!
//! No package registry carries a prebuilt kube-apiserver, but the Go module proxy has its sources. The folder
//! `control-plane` of this crate is a Go module whose one binary is all three programs.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};

use crate::{
    cache::{self, Workshop, find_program},
    child::Program,
    say::say,
};

/// The programs of a control plane, by the names that envtest also gives them.
pub const PROGRAMS: [&str; 3] = ["etcd", "kube-apiserver", "kube-controller-manager"];

/// A folder with the programs made elsewhere, as the kubebuilder tools name it.
const ASSETS: &str = "KUBEBUILDER_ASSETS";
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/control-plane");
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
    let key = cache::key(&format!("v{}", version()?), [MAIN_GO, GO_MOD, GO_SUM])?;
    cache::folder("control-plane", &key, complete, build).await
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

async fn build(Workshop { scraps, output }: Workshop) -> anyhow::Result<()> {
    let go = find_program("go").context(format!(
        "the control plane has to be built, and there is no `go` in PATH: install Go 1.24 or later, \
         or set {ASSETS} to a folder with {}",
        PROGRAMS.join(", ")
    ))?;
    say("building etcd, kube-apiserver and kube-controller-manager once: \
         about 3 minutes on 2 idle cores, and 1 more for the download");
    compile(&go, &scraps, &output.join("control-plane")).await?;
    for program in PROGRAMS {
        std::os::unix::fs::symlink("control-plane", output.join(program))?;
    }
    Ok(())
}

async fn compile(go: &Path, work: &Path, binary: &Path) -> anyhow::Result<()> {
    // The build cache takes 3 GB and is of no use once the binary is there.
    let go_cache = work.join("go-cache");
    // Where a killed build leaves its unfinished files for the next one to remove.
    let go_temporary = work.join("go-temporary");
    std::fs::create_dir(&go_temporary)?;
    let build = Program::new(go)
        .args(["build", "-trimpath", "-buildvcs=false", "-ldflags"])
        .arg(linker_flags()?)
        .arg("-o")
        .arg(binary)
        .arg(".")
        .directory(SOURCE)
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-mod=readonly")
        .env("GOWORK", "off")
        .env("GOCACHE", &go_cache)
        .env("GOTMPDIR", &go_temporary)
        .start(&work.join("go-build.log"))?;
    let status = build.wait().await?;
    if !status.success() {
        bail!("go build of {SOURCE} failed with {status}:\n{}", build.last_lines(20));
    }
    Ok(())
}

fn linker_flags() -> anyhow::Result<String> {
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
