//! Keycloak's Maven distribution: fetched, built and filled once, and kept in the cache.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use super::{ADMINISTRATOR, PASSWORD, copy_folder, listening};
use crate::{
    Program,
    cache::{self, Workshop, find_program},
    say::say,
    services::absent,
};

const VERSION: &str = "26.7.3";
const FETCH: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.11.0:copy";
const REALM: &str = include_str!("../../keycloak/tentacular-realm.json");
/// Small and quick to start. Keycloak's own script says why the packages must be open, and that the factory must be set.
const JVM: [&str; 13] = [
    "-Xms64m",
    "-Xmx384m",
    "-XX:MaxMetaspaceSize=256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Duser.language=en",
    "--add-opens=java.base/java.util=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
    "--add-opens=java.base/java.security=ALL-UNNAMED",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "-Djava.util.concurrent.ForkJoinPool.common.threadFactory=io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory",
    "-Djava.util.logging.manager=org.jboss.logmanager.LogManager",
    "-Dquarkus-log-max-startup-records=10000",
];
const BUILD: [&str; 2] = ["build", "--db=dev-file"];
/// Any free port; the issuer is the address that a client uses, as the port is not known before.
const START: [&str; 7] = [
    "start",
    "--optimized",
    "--http-enabled=true",
    "--http-host=127.0.0.1",
    "--http-port=0",
    "--hostname-strict=false",
    "--cache=local",
];
/// What a server only reads.
const SHARED: [&str; 4] = ["lib", "conf", "providers", "themes"];
/// What it writes.
const DATA: &str = "data";

/// The prepared distribution.
pub(super) struct Distribution {
    java: PathBuf,
    folder: PathBuf,
}

impl Distribution {
    /// Finds it, or makes it. None, with a printed reason, when a program that it needs is missing.
    pub(super) async fn find() -> anyhow::Result<Option<Self>> {
        let (Some(java), Some(maven)) = (find_program("java"), find_program("mvn")) else {
            return absent("there is no `java` or no `mvn` in PATH to run a Keycloak");
        };
        let parts = [REALM, FETCH, ADMINISTRATOR, PASSWORD].into_iter().chain(JVM).chain(BUILD).chain(START);
        let key = cache::key(VERSION, parts)?;
        let make = |workshop| make(java.clone(), maven, workshop);
        let folder = cache::folder("keycloak", &key, |folder| folder.join(DATA).is_dir(), make).await?;
        Ok(Some(Self { java, folder }))
    }

    /// Makes a home for one server: the database is its own, and the rest is shared.
    pub(super) fn copy_to(&self, home: &Path) -> anyhow::Result<()> {
        for name in SHARED {
            std::os::unix::fs::symlink(self.folder.join(name), home.join(name))?;
        }
        copy_folder(&self.folder.join(DATA), &home.join(DATA))
    }

    /// The server with this home.
    pub(super) fn server(&self, home: &Path) -> Program {
        keycloak(&self.java, home).args(START)
    }
}

/// Keycloak's program without its script, which would leave a process behind that is on no leash.
fn keycloak(java: &Path, home: &Path) -> Program {
    Program::new(java)
        .args(JVM)
        .arg(format!("-Dkc.home.dir={}", home.display()))
        .arg(format!("-Djboss.server.config.dir={}", home.join("conf").display()))
        .arg("-cp")
        .arg(home.join("lib/quarkus-run.jar"))
        .arg("io.quarkus.bootstrap.runner.QuarkusEntryPoint")
        .own_group()
}

async fn make(java: PathBuf, maven: PathBuf, Workshop { scraps, output }: Workshop) -> anyhow::Result<()> {
    say(&format!("fetching Keycloak {VERSION} (176 MB) and preparing it once: about a minute on 2 idle cores"));
    let fetch = Program::new(maven)
        .args(["--quiet", "--batch-mode", "--no-transfer-progress", FETCH])
        .arg(format!("-Dartifact=org.keycloak:keycloak-quarkus-dist:{VERSION}:tar.gz"))
        .arg(format!("-DoutputDirectory={}", scraps.display()))
        // The archive is of no use once it is unpacked.
        .arg(format!("-Dmaven.repo.local={}", scraps.join("repository").display()))
        .directory(&scraps);
    run(fetch, &scraps.join("fetch.log")).await?;
    let archive = scraps.join(format!("keycloak-quarkus-dist-{VERSION}.tar.gz"));
    let unpack = Program::new("tar").arg("xzf").arg(archive).arg("--strip-components=1").arg("-C").arg(&output);
    run(unpack, &scraps.join("unpack.log")).await?;
    run(keycloak(&java, &output).args(BUILD), &scraps.join("build.log")).await?;
    fill(&java, &output, &scraps.join("import.log")).await
}

/// Lets it make its database, with the realm and an administrator. Without that folder nothing is complete.
async fn fill(java: &Path, home: &Path, log: &Path) -> anyhow::Result<()> {
    let import = home.join(DATA).join("import");
    std::fs::create_dir_all(&import)?;
    std::fs::write(import.join("tentacular-realm.json"), REALM)?;
    let server = keycloak(java, home)
        .args(START)
        .arg("--import-realm")
        .env("KC_BOOTSTRAP_ADMIN_USERNAME", ADMINISTRATOR)
        .env("KC_BOOTSTRAP_ADMIN_PASSWORD", PASSWORD)
        .start(log)?;
    listening(&server).await?;
    server.terminate()?;
    server.wait().await?;
    std::fs::remove_dir_all(import).context("Keycloak's folder data is not as expected")
}

async fn run(program: Program, log: &Path) -> anyhow::Result<()> {
    let child = program.start(log)?;
    let status = child.wait().await?;
    ensure!(status.success(), "preparing Keycloak failed with {status}:\n{}", child.last_lines(20));
    Ok(())
}
