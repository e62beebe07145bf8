//! A registrar in an installation, and a kernel reduced to what counts here: it evaluates what a tool declares against
//! what is in the cluster, and sends the permit along.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Namespace};
use serde_json::{Value, json};
use tentacular_cluster::Cluster;
use tentacular_contract::{
    Authz, Caller, Enclave, EnclaveName, Identity, Place, Policy, Question, Tentacle, TentacleName, evaluate, keys,
};
use tentacular_process::link::client::LinkClient;
use tentacular_test_harness::{
    Child, ControlPlane, FaultProxy, Part, Program, Scratch,
    installation::{self, SERVER_NAMESPACE},
    stack::all_but,
};
use tokio::sync::OnceCell;

/// Below which enclaves have hosts.
pub(crate) const INGRESS_DOMAIN: &str = "apps.example.org";
/// The protocol in which the kernel asks.
const PROTOCOL: &str = "2026-07-28";

/// A registrar, and the administrator of its cluster.
pub(crate) struct World {
    pub(crate) admin: Cluster,
    link: LinkClient,
    tools: BTreeMap<String, Authz>,
    registrar: Child,
    _scratch: Scratch,
}

/// What the kernel sends.
pub(crate) struct Permitted {
    tool: String,
    arguments: Value,
    caller: Caller,
    permit: String,
}

impl World {
    /// Starts a registrar in the shared control plane and waits until it serves.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        Self::start_with(None, &[]).await
    }

    /// The same with a proxy before the API server.
    pub(crate) async fn start_through() -> anyhow::Result<(Self, FaultProxy)> {
        let proxy = FaultProxy::start(ControlPlane::shared().await?)?;
        Ok((Self::start_with(Some(&proxy), &[]).await?, proxy))
    }

    /// The same with further arguments.
    pub(crate) async fn start_with(proxy: Option<&FaultProxy>, args: &[String]) -> anyhow::Result<Self> {
        let control_plane = ControlPlane::shared().await?;
        let admin = Cluster::from_kubeconfig("test", control_plane.admin_kubeconfig()).await?;
        install(control_plane).await?;
        let scratch = Scratch::new()?;
        let kubeconfig = scratch.path().join("registrar.kubeconfig");
        match proxy {
            Some(proxy) => proxy.kubeconfig(control_plane, Part::Registrar, &kubeconfig).await?,
            None => control_plane.kubeconfig_as(SERVER_NAMESPACE, "tentacular-registrar", &kubeconfig).await?,
        }
        let registrar = Program::new(env!("CARGO_BIN_EXE_tentacular-registrar"))
            .env("KUBECONFIG", &kubeconfig)
            .env("TENTACULAR_INGRESS_DOMAIN", INGRESS_DOMAIN)
            .env("TENTACULAR_RESERVED_NAMES", all_but(&beginning()))
            // A test that is about it takes this back by an argument.
            .env("TENTACULAR_PROXY_RECONCILER_DISABLED", "true")
            .arg("--observe-addr=127.0.0.1:0")
            .arg("--run-dir")
            .arg(scratch.path())
            .args(args)
            .start(&scratch.path().join("registrar.log"))?;
        let socket = scratch.path().join("registrar.sock");
        served(&socket, &registrar).await?;
        let link = LinkClient::new(&socket, None);
        let mut world = Self { admin, link, tools: BTreeMap::new(), registrar, _scratch: scratch };
        let listed = world.ask(request("tools/list", None, json!({}))?).await?;
        for tool in listed["tools"].as_array().context("no tools")? {
            let name = tool["name"].as_str().context("a tool without name")?;
            world.tools.insert(name.to_owned(), Authz::parse(tool["_meta"].get(keys::AUTHZ_META))?);
        }
        Ok(world)
    }

    /// What the registrar has logged.
    pub(crate) fn log(&self) -> String {
        self.registrar.log()
    }

    /// Calls a tool: the result, or the sentence with which the kernel or the tool refused.
    pub(crate) async fn call(&self, caller: &Caller, tool: &str, arguments: Value) -> Result<Value, String> {
        let permitted = self.permit(caller, tool, arguments).await?;
        self.send(&permitted).await
    }

    /// Decides as the kernel does, by what is in the cluster now.
    pub(crate) async fn permit(&self, caller: &Caller, tool: &str, arguments: Value) -> Result<Permitted, String> {
        let authz = &self.tools[tool];
        let named = |pointers: &[String]| {
            pointers.iter().find_map(|pointer| arguments.pointer(pointer)).and_then(Value::as_str).map(str::to_owned)
        };
        let enclave = named(&authz.enclave).map(|name| name.parse::<EnclaveName>().unwrap());
        let tentacle = named(&authz.tentacle).map(|name| name.parse::<TentacleName>().unwrap());
        let (mut enclave_facts, mut tentacle_facts) = (None, None);
        if let Some(name) = &enclave {
            enclave_facts = self.enclave(name.as_str()).await;
            if let Some(tentacle) = &tentacle {
                let deployments = self.admin.namespaced::<Deployment>(name.as_str());
                let found = deployments.get(tentacle.as_str()).await.unwrap();
                let annotations = found.map(|found| found.metadata.annotations.unwrap_or_default());
                tentacle_facts = annotations.map(|annotations| Tentacle::from_annotations(&annotations));
            }
        }
        let question = Question {
            caller,
            policy: Policy::default(),
            tool,
            authz,
            enclave: enclave
                .as_ref()
                .map(|name| (name, enclave_facts.as_ref().map_or(Place::NoEnclave, Place::Enclave))),
            tentacle: tentacle.as_ref().map(|name| (name, tentacle_facts.as_ref())),
        };
        let permit = evaluate(&question).map_err(|denied| denied.to_string())?.to_header();
        Ok(Permitted { tool: tool.to_owned(), arguments, caller: caller.clone(), permit })
    }

    /// Sends a call that was permitted.
    pub(crate) async fn send(&self, permitted: &Permitted) -> Result<Value, String> {
        let Permitted { tool, arguments, caller, permit } = permitted;
        let params = json!({ "name": tool, "arguments": arguments });
        let mut request = request("tools/call", Some(tool), params).unwrap();
        request.headers_mut().insert(keys::CALLER_HEADER, caller.to_header().parse().unwrap());
        request.headers_mut().insert(keys::PERMIT_HEADER, permit.parse().unwrap());
        let result = self.ask(request).await.unwrap();
        if result["isError"] == true {
            return Err(result["content"][0]["text"].as_str().unwrap().to_owned());
        }
        Ok(result["structuredContent"].clone())
    }

    /// Sends a call that was permitted with other bytes for its body, and returns all of the answer.
    pub(crate) async fn send_bytes(&self, permitted: &Permitted, body: String) -> anyhow::Result<Value> {
        let Permitted { tool, caller, permit, .. } = permitted;
        let mut request = request("tools/call", Some(tool), json!({}))?.map(|_| Full::new(Bytes::from(body)));
        request.headers_mut().insert(keys::CALLER_HEADER, caller.to_header().parse()?);
        request.headers_mut().insert(keys::PERMIT_HEADER, permit.parse()?);
        self.ask(request).await
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> anyhow::Result<Value> {
        let body = self.link.send(request).await?.into_body().collect().await?.to_bytes();
        let answer: Value =
            serde_json::from_slice(&body).with_context(|| String::from_utf8_lossy(&body).into_owned())?;
        match answer.get("result") {
            Some(result) => Ok(result.clone()),
            None => bail!("{answer}"),
        }
    }

    /// The enclave of that name, as it stands.
    pub(crate) async fn enclave(&self, name: &str) -> Option<Enclave> {
        let metadata = self.admin.all::<Namespace>().get(name).await.unwrap()?.metadata;
        let pairs = |pairs: Option<BTreeMap<String, String>>| pairs.unwrap_or_default();
        let terminating = metadata.deletion_timestamp.is_some();
        Enclave::from_metadata(name, &pairs(metadata.labels), &pairs(metadata.annotations), terminating)
    }

    /// Makes an enclave with a name of its own, which belongs to Ann and has Bob as member.
    pub(crate) async fn provision(&self, prefix: &str) -> String {
        let name = unique(prefix);
        let arguments = json!({ "name": name, "owner_email": "ann@x.io", "members": ["bob@x.io"] });
        self.call(&Caller::Bearer, "enclave_provision", arguments).await.unwrap();
        name
    }
}

/// Looks until there is something.
pub(crate) async fn until<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    tentacular_test_harness::until(what, async || look().await.context("it is not so")).await.unwrap()
}

/// A name that no other test has.
pub(crate) fn unique(prefix: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{}{prefix}-{}", beginning(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// What the names of a test's enclaves begin with: its registrars look after no others, of which there are more than a hundred.
/// To be asked for in the test itself, not in a task that it spawns, as its thread tells which test it is.
fn beginning() -> String {
    static TESTS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let thread = std::thread::current();
    let (name, mut tests) = (thread.name().unwrap_or_default(), TESTS.lock().unwrap());
    let number = tests.iter().position(|test| test == name).unwrap_or_else(|| {
        tests.push(name.to_owned());
        tests.len() - 1
    });
    format!("t{number}-")
}

/// Somebody with an OIDC token, known by an email address.
pub(crate) fn person(email: &str) -> Caller {
    let identity = Identity {
        sub: Some(format!("sub-of-{email}")),
        email: Some(email.parse().unwrap()),
        azp: Some("tntc".to_owned()),
        ..Identity::default()
    };
    Caller::Oidc(identity)
}

fn request(method: &str, tool: Option<&str>, mut params: Value) -> anyhow::Result<Request<Full<Bytes>>> {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": PROTOCOL,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "0" },
    });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    let mut request = Request::post("/")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", PROTOCOL)
        .header("mcp-method", method);
    if let Some(tool) = tool {
        request = request.header("mcp-name", tool);
    }
    Ok(request.body(Full::new(Bytes::from(body)))?)
}

async fn served(socket: &Path, registrar: &Child) -> anyhow::Result<()> {
    tentacular_test_harness::until("the registrar has a socket", async || {
        assert!(registrar.is_running(), "the registrar ended: {}", registrar.last_lines(5));
        anyhow::ensure!(socket.exists(), "{}", registrar.last_lines(5));
        Ok(())
    })
    .await
}

/// What the chart gives the server: its accounts, their rights, and the policies that narrow these.
async fn install(control_plane: &ControlPlane) -> anyhow::Result<()> {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    INSTALLED.get_or_try_init(|| installation::install_rights(control_plane)).await.copied()
}
