//! The kernel, its three sidecars and an example engine as processes, with the product's own service accounts.

use std::{
    collections::BTreeMap,
    io::Read as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::{
    Child, FaultProxy, Installation, Program, Scratch,
    mcp::{Era, Mcp, Raw},
    part::{self, Part},
};

/// Mode of the run folder: owner and group, setgid, sticky.
const RUN_FOLDER: u32 = 0o3770;

/// A running set of the product's processes. Dropping it kills them.
#[derive(Debug)]
pub struct Stack {
    processes: Mutex<BTreeMap<Part, Arc<Child>>>,
    url: String,
    token: String,
    engine_url: String,
    /// Patterns of names that no enclave has for it.
    reserved: String,
    installation: Arc<Installation>,
    kubeconfigs: BTreeMap<Part, PathBuf>,
    sidecar_args: BTreeMap<Part, Vec<String>>,
    scratch: Scratch,
}

/// What differs from the ordinary.
#[derive(Debug, Default)]
pub struct Options {
    /// Sidecars that are not started.
    pub without: Vec<Part>,
    /// Address of the MCP endpoint; any free port of loopback when left out.
    pub listen: Option<String>,
    /// Further arguments of the kernel.
    pub kernel_args: Vec<String>,
    /// Further arguments of sidecars.
    pub sidecar_args: BTreeMap<Part, Vec<String>>,
    /// What the names of the enclaves begin with that it looks after. It is every enclave when left out, which costs much where
    /// many stacks share an installation.
    pub enclaves: Option<String>,
    /// Parts that speak to the API server through a proxy.
    pub through: BTreeMap<Part, Arc<FaultProxy>>,
}

impl Stack {
    /// Starts all processes on free ports and waits until they can serve.
    pub async fn start(installation: Arc<Installation>) -> anyhow::Result<Self> {
        Self::start_with(installation, Options::default()).await
    }

    /// The same with options. With a sidecar left out it does not wait for readiness, which needs all three.
    pub async fn start_with(installation: Arc<Installation>, options: Options) -> anyhow::Result<Self> {
        let Options { without, listen, kernel_args, sidecar_args, enclaves, through } = options;
        let scratch = Scratch::new()?;
        let run = scratch.path().join("run");
        std::fs::create_dir(&run)?;
        std::fs::set_permissions(&run, std::fs::Permissions::from_mode(RUN_FOLDER))?;
        let token = random_token()?;
        std::fs::write(scratch.path().join("token"), &token)?;
        let mut kubeconfigs = BTreeMap::new();
        for part in Part::SIDECARS.into_iter().chain([Part::Kernel]) {
            let path = installation.kubeconfig_for(part, scratch.path()).await?;
            if let Some(proxy) = through.get(&part) {
                proxy.kubeconfig(installation.control_plane(), part, &path).await?;
            }
            kubeconfigs.insert(part, path);
        }
        let mut stack = Self {
            processes: Mutex::default(),
            url: String::new(),
            token,
            engine_url: String::new(),
            reserved: enclaves.as_deref().map(all_but).unwrap_or_default(),
            installation,
            kubeconfigs,
            sidecar_args,
            scratch,
        };
        stack.start_engine().await?;
        for part in Part::SIDECARS.into_iter().filter(|part| !without.contains(part)) {
            stack.restart(part)?;
        }
        let token_path = format!("--token-path={}", stack.scratch.path().join("token").display());
        let listen = format!("--listen={}", listen.as_deref().unwrap_or("127.0.0.1:0"));
        let mut args = vec![listen, token_path];
        if !kernel_args.iter().any(|arg| arg.starts_with("--linger-seconds")) {
            args.push("--linger-seconds=0".to_owned());
        }
        args.extend(kernel_args);
        stack.start_part(Part::Kernel, &args)?;
        let address = part::logged(&*stack.process(Part::Kernel)?, "serving MCP on /mcp", "address").await?;
        stack.url = format!("http://{address}/mcp");
        if without.is_empty() {
            for part in Part::SIDECARS.into_iter().chain([Part::Kernel]) {
                part::ready(&*stack.process(part)?).await?;
            }
        }
        Ok(stack)
    }

    async fn start_engine(&mut self) -> anyhow::Result<()> {
        let log = self.scratch.path().join("engine.log");
        let engine = part::program(Part::Engine)?.arg("--listen=127.0.0.1:0").start(&log)?;
        let address = first_line(&engine, &log).await?;
        self.engine_url = format!("http://{address}/{{enclave}}/{{tentacle}}");
        self.keep(Part::Engine, engine);
        Ok(())
    }

    fn start_part(&self, part: Part, args: &[String]) -> anyhow::Result<()> {
        let log = self.scratch.path().join(format!("{}.log", part.name()));
        let child = self.program(part, args)?.start(&log)?;
        self.keep(part, child);
        Ok(())
    }

    fn program(&self, part: Part, args: &[String]) -> anyhow::Result<Program> {
        let kubeconfig = self.kubeconfigs.get(&part).context("the part has no account")?;
        Ok(part::program(part)?
            .env("KUBECONFIG", kubeconfig)
            .env("TENTACULAR_RUN_DIR", self.run_dir())
            .env("TENTACULAR_TENTACLE_URL", &self.engine_url)
            .env("TENTACULAR_RESERVED_NAMES", &self.reserved)
            // A test that is about it takes this back by an argument.
            .env("TENTACULAR_PROXY_RECONCILER_DISABLED", "true")
            .arg("--observe-addr=127.0.0.1:0")
            .args(args))
    }

    fn keep(&self, part: Part, child: Child) {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner).insert(part, Arc::new(child));
    }

    /// The process of a part. Fails when it was not started.
    pub fn process(&self, part: Part) -> anyhow::Result<Arc<Child>> {
        let processes = self.processes.lock().unwrap_or_else(PoisonError::into_inner);
        processes.get(&part).cloned().with_context(|| format!("the {} was not started", part.name()))
    }

    /// Kills a sidecar by SIGKILL and waits until it is gone. Its socket file stays, as after a crash.
    pub async fn kill(&self, part: Part) -> anyhow::Result<()> {
        let child = self.process(part)?;
        child.kill()?;
        child.wait().await?;
        Ok(())
    }

    /// Starts a sidecar that was killed or left out, with the arguments that the options have for it.
    pub fn restart(&self, part: Part) -> anyhow::Result<()> {
        self.restart_with(part, self.sidecar_args.get(&part).map_or(&[], Vec::as_slice))
    }

    /// The same with other further arguments.
    pub fn restart_with(&self, part: Part, args: &[String]) -> anyhow::Result<()> {
        self.start_part(part, args)
    }

    /// Waits until one of the processes ends, and returns which.
    pub async fn first_to_end(&self) -> anyhow::Result<Part> {
        let processes = self.processes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let ends = processes.into_iter().map(|(part, child)| {
            Box::pin(async move {
                child.wait().await?;
                anyhow::Ok(part)
            })
        });
        futures::future::select_all(ends).await.0
    }

    /// The address of the MCP endpoint.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The bearer token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The folder of the sockets.
    pub fn run_dir(&self) -> PathBuf {
        self.scratch.path().join("run")
    }

    /// The folder of logs.
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// The installation that it runs in.
    pub fn installation(&self) -> &Installation {
        &self.installation
    }

    /// A real MCP client, connected with the bearer token.
    pub async fn client(&self, era: Era) -> anyhow::Result<Mcp> {
        self.client_as(&self.token, era).await
    }

    /// A real MCP client, connected with this token.
    pub async fn client_as(&self, token: &str, era: Era) -> anyhow::Result<Mcp> {
        Mcp::connect(&self.url, token, era).await
    }

    /// A client that sends whatever it is told.
    pub fn raw(&self) -> Raw {
        self.raw_as(&self.token)
    }

    /// A client that sends whatever it is told, with this token.
    pub fn raw_as(&self, token: &str) -> Raw {
        Raw::new(&self.url, Some(token))
    }
}

/// The setting that reserves all names but those which begin so, for processes that look after no other enclaves.
pub fn all_but(beginning: &str) -> String {
    let letters = || ('a'..='z').chain('0'..='9').chain(['-']);
    let others = |(at, own): (usize, char)| {
        let other = move |letter: &char| *letter != own;
        letters().filter(other).map(move |letter| format!("{}{letter}*", &beginning[..at]))
    };
    beginning.char_indices().flat_map(others).collect::<Vec<_>>().join(",")
}

/// The line that a program prints first on standard output.
async fn first_line(child: &Child, log: &Path) -> anyhow::Result<String> {
    loop {
        let file = tokio::fs::File::open(log).await?;
        if let Some(line) = BufReader::new(file).lines().next_line().await?
            && !line.is_empty()
            && child.log().contains('\n')
        {
            return Ok(line);
        }
        anyhow::ensure!(child.is_running(), "{} ended: {}", log.display(), child.log());
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// A token that nobody can guess.
pub(crate) fn random_token() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes))?;
    Ok(bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
}
