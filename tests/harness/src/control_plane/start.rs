//! Starts the programs of a control plane and waits until it works.

use std::{
    env::var_os,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use kube::Client;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

use super::{ControlPlane, default_service_account};
use crate::{
    binaries,
    certificates::Certificates,
    child::{Child, Program},
    credentials::{Endpoint, Identity},
    scratch::Scratch,
};

/// A start takes 5 seconds on two idle cores; a busy machine gets this much.
const DEADLINE: Duration = Duration::from_mins(5);
const POLL: Duration = Duration::from_millis(50);
/// What a server says when somebody took its port between our choice and its start.
const PORT_TAKEN: &str = "address already in use";
/// Enough of a log for the reason of an early end; a panic's stack is what comes last.
const LOG_LINES: usize = 30;

pub(super) async fn start(address: Ipv4Addr) -> anyhow::Result<ControlPlane> {
    let binaries = binaries::folder().await?;
    match attempt(&binaries, address).await {
        Err(error) if format!("{error:#}").contains(PORT_TAKEN) => attempt(&binaries, address).await,
        result => result,
    }
}

async fn attempt(binaries: &Path, address: Ipv4Addr) -> anyhow::Result<ControlPlane> {
    let scratch = Scratch::new()?;
    let folder = scratch.path();
    let certificates = Certificates::generate()?;
    certificates.write(&folder.join("pki"))?;
    let port = free_port(address)?;
    let endpoint = Endpoint {
        url: format!("https://{address}:{port}"),
        authority_pem: certificates.authority.certificate.clone(),
        authority_der: certificates.authority_der.clone(),
    };
    let kubeconfig = folder.join("admin.kubeconfig");
    let admin = Identity::Certificate(&certificates.admin);
    endpoint.write_kubeconfig(&admin, "default", &kubeconfig)?;
    let controllers = Identity::Certificate(&certificates.controller_manager);
    endpoint.write_kubeconfig(&controllers, "default", &folder.join("controller-manager.kubeconfig"))?;
    let client = endpoint.client(&admin)?;

    let deadline = Instant::now() + DEADLINE;
    let etcd = launch(binaries, folder, "etcd", &etcd_flags(folder))?;
    until(deadline, &[("etcd", &etcd)], || etcd_healthy(folder)).await?;
    let api_server = launch(binaries, folder, "kube-apiserver", &api_server_flags(folder, address, port))?;
    until(deadline, &[("etcd", &etcd), ("kube-apiserver", &api_server)], || api_server_ready(&client)).await?;
    // It ends where the API server is not healthy within 10 s.
    let controller_manager = launch(binaries, folder, "kube-controller-manager", &controller_manager_flags(folder))?;
    let programs =
        [("etcd", &etcd), ("kube-apiserver", &api_server), ("kube-controller-manager", &controller_manager)];
    until(deadline, &programs, || async { default_service_account(client.clone(), "default").await.is_ok() }).await?;

    Ok(ControlPlane {
        node: None,
        controller_manager,
        api_server,
        etcd,
        endpoint,
        certificates,
        kubeconfig,
        scratch,
        permit: None,
    })
}

/// Nothing of the environment goes in but how often Go collects garbage: a proxy set there would stand between the server and
/// its webhooks.
fn launch(binaries: &Path, folder: &Path, program: &str, flags: &[String]) -> anyhow::Result<Child> {
    let mut command = Program::new(binaries.join(program)).args(flags).env_clear().directory(folder).own_group();
    if let Some(percent) = var_os("GOGC") {
        command = command.env("GOGC", percent);
    }
    if program != "kube-apiserver" {
        // They have little to do at a time, and with two threads an eighth of their time goes into waking one another.
        command = command.env("GOMAXPROCS", "1");
    }
    command.start(&folder.join(program).with_extension("log"))
}

fn free_port(address: Ipv4Addr) -> anyhow::Result<u16> {
    let listener = TcpListener::bind((address, 0)).with_context(|| format!("no free port on {address}"))?;
    Ok(listener.local_addr()?.port())
}

/// Asks until the answer is yes. Fails when a program ends or the time is over.
async fn until<F: Future<Output = bool>>(
    deadline: Instant,
    programs: &[(&str, &Child)],
    ready: impl Fn() -> F,
) -> anyhow::Result<()> {
    let last_lines = |child: &Child| child.last_lines(LOG_LINES);
    loop {
        // A server that is stuck must not keep us from looking at the others and at the clock.
        if tokio::time::timeout(Duration::from_secs(5), ready()).await.unwrap_or(false) {
            return Ok(());
        }
        if let Some((name, child)) = programs.iter().find(|(_, child)| !child.is_running()) {
            bail!("{name} ended during the start with {}:\n{}", child.wait().await?, last_lines(child));
        }
        if Instant::now() > deadline {
            let logs: Vec<String> =
                programs.iter().map(|(name, child)| format!("{name}:\n{}", last_lines(child))).collect();
            bail!("the control plane was not ready after {} s\n{}", DEADLINE.as_secs(), logs.join("\n"));
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn api_server_ready(client: &Client) -> bool {
    let Ok(request) = http::Request::get("/readyz").body(Vec::new()) else { return false };
    client.request_text(request).await.is_ok_and(|answer| answer == "ok")
}

async fn etcd_healthy(folder: &Path) -> bool {
    let ask = async {
        let mut stream = UnixStream::connect(folder.join(ETCD_SOCKET)).await?;
        stream.write_all(b"GET /health HTTP/1.0\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    ask.await.is_ok_and(|answer| answer.contains(r#""health":"true""#))
}

/// A socket in the folder needs no port, and no other user of the machine can read the cluster's secrets through it.
const ETCD_SOCKET: &str = "etcd.sock";

fn etcd_flags(folder: &Path) -> Vec<String> {
    let data = folder.join("etcd");
    let socket = folder.join(ETCD_SOCKET);
    // A file name in the current folder in the shape of host and port, which is what etcd insists on.
    let peers = "unix://etcd-peers:1";
    vec![
        "--name=harness".into(),
        format!("--data-dir={}", data.display()),
        format!("--listen-client-urls=unix://{}", socket.display()),
        // Nobody asks for it, but it has to have the same shape.
        "--advertise-client-urls=unix://etcd-clients:1".into(),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=harness={peers}"),
        // The data lives no longer than the process, so nothing is lost by not waiting for the disk.
        "--unsafe-no-fsync".into(),
        "--log-level=warn".into(),
    ]
}

fn api_server_flags(folder: &Path, address: Ipv4Addr, port: u16) -> Vec<String> {
    let pki = folder.join("pki");
    let pki = pki.display();
    let mut flags = vec![
        format!("--etcd-servers=unix://{}", folder.join(ETCD_SOCKET).display()),
        format!("--bind-address={address}"),
        format!("--secure-port={port}"),
        "--service-cluster-ip-range=10.96.0.0/16".into(),
        format!("--tls-cert-file={pki}/server.crt"),
        format!("--tls-private-key-file={pki}/server.key"),
        format!("--client-ca-file={pki}/ca.crt"),
        "--authorization-mode=Node,RBAC".into(),
        // PodSecurity, ServiceAccount, ResourceQuota, LimitRanger and the webhooks are on by default.
        "--enable-admission-plugins=NodeRestriction".into(),
        // As every distribution does: privileged pods are for admission to refuse, not for validation.
        "--allow-privileged=true".into(),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".into(),
        format!("--service-account-key-file={pki}/service-accounts.crt"),
        format!("--service-account-signing-key-file={pki}/service-accounts.key"),
        format!("--requestheader-client-ca-file={pki}/front-proxy-ca.crt"),
        "--requestheader-allowed-names=front-proxy-client".into(),
        "--requestheader-username-headers=X-Remote-User".into(),
        "--requestheader-group-headers=X-Remote-Group".into(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".into(),
        format!("--proxy-client-cert-file={pki}/front-proxy.crt"),
        format!("--proxy-client-key-file={pki}/front-proxy.key"),
        "--profiling=false".into(),
    ];
    if address.is_loopback() {
        // Loopback may not be an endpoint of the service `kubernetes`, so there is none.
        flags.push("--endpoint-reconciler-type=none".into());
        // Where the posing node's kubelet is: of its addresses this one is on loopback.
        flags.push("--kubelet-preferred-address-types=ExternalIP".into());
    } else {
        flags.push(format!("--advertise-address={address}"));
        flags.push("--kubelet-preferred-address-types=InternalIP".into());
        flags.push(format!("--kubelet-client-certificate={pki}/admin.crt"));
        flags.push(format!("--kubelet-client-key={pki}/admin.key"));
        // No kube-proxy is where the API server is, so it calls a webhook's pods and not their Service's address.
        flags.push("--enable-aggregator-routing".into());
    }
    flags
}

fn controller_manager_flags(folder: &Path) -> Vec<String> {
    let kubeconfig = folder.join("controller-manager.kubeconfig");
    let kubeconfig = kubeconfig.display();
    let pki = folder.join("pki");
    let pki = pki.display();
    vec![
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        "--use-service-account-credentials".into(),
        "--leader-elect=false".into(),
        // Nobody asks it over HTTPS, and a port less cannot be taken.
        "--secure-port=0".into(),
        format!("--root-ca-file={pki}/ca.crt"),
        format!("--service-account-private-key-file={pki}/service-accounts.key"),
        format!("--cluster-signing-cert-file={pki}/ca.crt"),
        format!("--cluster-signing-key-file={pki}/ca.key"),
        // The defaults are made for a server with other clients; here they only delay the start.
        "--kube-api-qps=200".into(),
        "--kube-api-burst=400".into(),
        "--profiling=false".into(),
    ]
}
