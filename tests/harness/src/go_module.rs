//! The Go modules in this crate's folder: programs that no package registry carries, built once and kept in the cache.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::{
    cache::{self, Workshop, find_program},
    child::Program,
    say::say,
};

/// A Go module of this crate.
pub(crate) struct GoModule {
    /// Its folder, and its name in the cache.
    pub(crate) name: &'static str,
    /// The version of what is built.
    pub(crate) version: &'static str,
    /// The texts that it is made of; it is built again when one changes.
    pub(crate) sources: &'static [&'static str],
    /// The folders with a `main` package. Each makes one binary, named like its folder, the module's own like the module.
    pub(crate) packages: &'static [&'static str],
    /// Other names that the module's own binary can be started by.
    pub(crate) programs: &'static [&'static str],
    /// Flags of the linker.
    pub(crate) linker_flags: String,
    /// How long it takes on two idle cores, for the person who waits.
    pub(crate) takes: &'static str,
}

impl GoModule {
    /// The folder that holds its programs, built when it is not there.
    ///
    /// Fails when `go` is missing, and when the build fails.
    pub(crate) async fn folder(&self) -> anyhow::Result<PathBuf> {
        let key = cache::key(&format!("v{}", self.version), self.sources)?;
        cache::folder(self.name, &key, |folder| self.complete(folder), |workshop| self.build(workshop)).await
    }

    fn complete(&self, folder: &Path) -> bool {
        folder.join(self.name).is_file() && self.programs.iter().all(|program| folder.join(program).is_file())
    }

    async fn build(&self, Workshop { scraps, output }: Workshop) -> anyhow::Result<()> {
        let programs = if self.programs.is_empty() { self.name.to_owned() } else { self.programs.join(", ") };
        let go = find_program("go").with_context(|| {
            format!("{programs} must be built, and there is no `go` in PATH: install Go 1.25 or later")
        })?;
        say(&format!(
            "building {programs} once: about {} on 2 idle cores, and 1 minute for the download",
            self.takes
        ));
        self.compile(&go, &scraps, &output).await?;
        for program in self.programs {
            std::os::unix::fs::symlink(self.name, output.join(program))?;
        }
        Ok(())
    }

    async fn compile(&self, go: &Path, work: &Path, output: &Path) -> anyhow::Result<()> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(self.name);
        // The build cache takes 3 GB and is of no use once the binary is there.
        let go_cache = work.join("go-cache");
        // Where a killed build leaves its unfinished files for the next one to remove.
        let go_temporary = work.join("go-temporary");
        std::fs::create_dir(&go_temporary)?;
        let build = Program::new(go)
            .args(["build", "-trimpath", "-buildvcs=false", "-ldflags"])
            .arg(&self.linker_flags)
            .arg("-o")
            // With the slash it is a folder, also for a single binary.
            .arg(output.join(""))
            .args(self.packages)
            .directory(&source)
            .env("CGO_ENABLED", "0")
            .env("GOFLAGS", "-mod=readonly")
            .env("GOWORK", "off")
            .env("GOCACHE", &go_cache)
            .env("GOTMPDIR", &go_temporary)
            .start(&work.join("go-build.log"))?;
        let status = build.wait().await?;
        if !status.success() {
            bail!("go build of {} failed with {status}:\n{}", source.display(), build.last_lines(20));
        }
        Ok(())
    }
}
