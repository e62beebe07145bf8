//! Finds etcd, kube-apiserver and kube-controller-manager, and builds them once when they are nowhere.
//!
//! No package registry carries a prebuilt kube-apiserver, but the Go module proxy has its sources. The folder
//! `control-plane` of this crate is a Go module whose one binary is all three programs.

use std::{
    fmt::Write as _,
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use sha2::{Digest as _, Sha256};

use crate::{child::Program, say::say};

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
/// Unfinished builds have this prefix, so that a later one can remove what a killed one left.
const UNFINISHED: &str = ".building-";

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
    let cache = cache()?;
    let folder = cache.join(key()?);
    if complete(&folder) {
        return Ok(folder);
    }
    std::fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    let _lock = lock(&cache.join("lock")).await?;
    if !complete(&folder) {
        build(&cache, &folder).await?;
    }
    Ok(folder)
}

fn complete(folder: &Path) -> bool {
    PROGRAMS.iter().all(|program| folder.join(program).is_file())
}

fn cache() -> anyhow::Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME") {
        Some(cache) if Path::new(&cache).is_absolute() => PathBuf::from(cache),
        _ => std::env::home_dir().context("no home folder, so no cache folder")?.join(".cache"),
    };
    Ok(base.join("tentacular/control-plane"))
}

/// The Kubernetes version of the sources, with its leading `v`.
fn version() -> anyhow::Result<&'static str> {
    GO_MOD
        .lines()
        .find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes v"))
        .map(|version| version.trim_start_matches('v').trim())
        .context("go.mod names no version of k8s.io/kubernetes")
}

/// Names the build by its sources, so that a change of them makes another.
fn key() -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    for part in [MAIN_GO, GO_MOD, GO_SUM] {
        hash.update(part);
    }
    let mut short = String::new();
    for byte in hash.finalize().iter().take(6) {
        write!(short, "{byte:02x}")?;
    }
    Ok(format!("v{}-{short}", version()?))
}

/// Tries rather than blocks, so that a caller that gives up leaves no thread behind.
async fn lock(path: &Path) -> anyhow::Result<File> {
    let file = File::options().create(true).append(true).open(path)?;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {
                if !told {
                    say("waiting for another process that builds the control plane");
                    told = true;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
    }
}

/// Builds into a folder of its own and renames that into place; the caller holds the lock.
async fn build(cache: &Path, folder: &Path) -> anyhow::Result<()> {
    let go = find_go().context(format!(
        "the control plane has to be built, and there is no `go` in PATH: install Go 1.24 or later, \
         or set {ASSETS} to a folder with {}",
        PROGRAMS.join(", ")
    ))?;
    remove_unfinished(cache)?;
    let work = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(cache)?;
    let output = work.path().join("output");
    std::fs::create_dir(&output)?;
    say(&format!(
        "building etcd, kube-apiserver and kube-controller-manager once, into {}: \
         about 3 minutes on 2 idle cores, and 1 more for the download",
        folder.display()
    ));
    let started = std::time::Instant::now();
    compile(&go, work.path(), &output.join("control-plane")).await?;
    for program in PROGRAMS {
        std::os::unix::fs::symlink("control-plane", output.join(program))?;
    }
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::rename(&output, folder).with_context(|| format!("cannot make {}", folder.display()))?;
    say(&format!("built in {} s", started.elapsed().as_secs()));
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

fn find_go() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("go")).find(|file| file.is_file())
}

fn remove_unfinished(cache: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(cache)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_names_version_and_sources() {
        let key = key().unwrap();
        let (version, hash) = key.rsplit_once('-').unwrap();
        assert!(version.starts_with("v1."), "{key}");
        assert!(hash.len() == 12 && hash.chars().all(|digit| digit.is_ascii_hexdigit()), "{key}");
    }

    #[test]
    fn the_server_reports_its_real_version() {
        let flags = linker_flags().unwrap();
        let version = version().unwrap();
        assert!(flags.contains(&format!("k8s.io/component-base/version.gitVersion=v{version}")), "{flags}");
        assert!(flags.contains("k8s.io/client-go/pkg/version.gitMajor=1"), "{flags}");
    }
}
