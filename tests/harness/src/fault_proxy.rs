//! A reverse proxy between one process and kube-apiserver, so that a test drives faults by event and not by time: it
//! forwards everything as it is, watches included, keeps a record, and fails what it is told to fail.

mod fault;
mod record;

use std::{
    ops::Range,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Context as _;
use http::{HeaderMap, Request, Response, Uri, header};
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use self::record::Record;
pub use self::{fault::Fault, record::Call};
use crate::{
    ControlPlane,
    credentials::{Endpoint, Identity},
    installation::SERVER_NAMESPACE,
    part::Part,
    port::Port,
    tls::{self, Acceptor, Authority},
};

/// The proxy. It has an authority of its own and lives on [`crate::background`] until it is dropped. Client certificates do
/// not pass it, so whoever speaks through it has a token.
#[derive(Debug)]
pub struct FaultProxy {
    port: Port,
    endpoint: Endpoint,
    acceptor: Acceptor,
    way: Arc<Way>,
}

/// What a connection needs.
#[derive(Debug)]
struct Way {
    upstream: String,
    http: reqwest::Client,
    record: Mutex<Record>,
    /// Told after each change of the record.
    changed: watch::Sender<()>,
}

impl FaultProxy {
    /// Starts one before the API server of `control_plane`.
    pub fn start(control_plane: &ControlPlane) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(control_plane.ca_pem().as_bytes())?)?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::trusting(roots, &[]))
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let authority = Authority::new()?;
        let port = Port::reserve()?;
        let endpoint = Endpoint {
            url: format!("https://{}", port.address()),
            authority_der: CertificateDer::from_pem_slice(authority.pem().as_bytes())?.to_vec(),
            authority_pem: authority.pem(),
        };
        let way = Way {
            upstream: control_plane.url().to_owned(),
            http,
            record: Mutex::default(),
            changed: watch::Sender::default(),
        };
        let proxy = Self { port, endpoint, acceptor: Acceptor::new(&authority)?, way: Arc::new(way) };
        proxy.open()?;
        Ok(proxy)
    }

    /// Lets `fault` strike those of the requests that `matches` tells of, counted from 0, whose number is in `which`. A
    /// fault that lets the API server carry the request out counts only what was carried out, by a status below 300. Of
    /// several faults for one request the one that was set first strikes.
    pub fn fail(&self, which: Range<usize>, matches: impl Fn(&Call) -> bool + Send + 'static, fault: Fault) {
        self.way.record().fail(which, matches, fault);
    }

    /// Takes all faults back and begins a new record.
    pub fn start_afresh(&self) {
        self.way.record().start_afresh();
    }

    /// The requests since the start, or since [`Self::start_afresh`], in the order of their arrival.
    pub fn calls(&self) -> Vec<Call> {
        self.way.record().calls().to_vec()
    }

    /// Whether a request is on record that `matches` tells of.
    pub fn saw(&self, matches: impl Fn(&Call) -> bool) -> bool {
        self.way.record().calls().iter().any(matches)
    }

    /// Waits until one is.
    pub async fn until(&self, matches: impl Fn(&Call) -> bool) {
        let mut changed = self.way.changed.subscribe();
        while !self.saw(&matches) {
            // The sender lives as long as the proxy.
            let _ = changed.changed().await;
        }
    }

    /// Lets it answer, or refuse connections and cut those that there are, watches too. Its port stays its own. Fails when
    /// it cannot listen again.
    pub async fn set_up(&self, up: bool) -> anyhow::Result<()> {
        self.port.close().await;
        if up { self.open() } else { Ok(()) }
    }

    /// A client through the proxy, on the current runtime.
    pub fn client(&self, token: &str) -> anyhow::Result<kube::Client> {
        self.endpoint.client(&Identity::Token(token))
    }

    /// Writes a kubeconfig that leads the part's service account through the proxy.
    pub async fn kubeconfig(&self, control_plane: &ControlPlane, part: Part, path: &Path) -> anyhow::Result<()> {
        let token = control_plane.token(SERVER_NAMESPACE, part.account()).await?;
        self.endpoint.write_kubeconfig(&Identity::Token(&token), SERVER_NAMESPACE, path)
    }

    fn open(&self) -> anyhow::Result<()> {
        self.port.open(|listener| serve(listener, self.acceptor.clone(), Arc::clone(&self.way)))
    }
}

/// Its connections end with it.
async fn serve(listener: TcpListener, acceptor: Acceptor, way: Arc<Way>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        connections.spawn(connection(stream, acceptor.clone(), Arc::clone(&way)));
        // Those that ended need not be kept.
        while connections.try_join_next().is_some() {}
    }
}

/// Ends at the peer's will or at a fault; there is nobody to tell which.
async fn connection(stream: TcpStream, acceptor: Acceptor, way: Arc<Way>) {
    // Else the two pieces of an answer wait for each other's acknowledgement.
    let _ = stream.set_nodelay(true);
    if let Ok(stream) = acceptor.accept(stream).await {
        let service = service_fn(|request| way.pass(request));
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }
}

impl Way {
    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An error closes the connection without an answer.
    async fn pass(&self, request: Request<Incoming>) -> anyhow::Result<Response<reqwest::Body>> {
        let (mut head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let (number, fault) = self.record().arrived(Call::new(&head.method, &head.uri, &body));
        self.changed.send_replace(());
        if let Some(fault) = fault {
            return fault.answer();
        }
        let path = head.uri.path_and_query().context("a request without a path")?;
        head.uri = format!("{}{path}", self.upstream).parse::<Uri>()?;
        take_hop_by_hop(&mut head.headers);
        // It names the proxy, and is made anew for the API server.
        head.headers.remove(header::HOST);
        let request = reqwest::Request::try_from(Request::from_parts(head, body))?;
        let mut response = Response::<reqwest::Body>::from(self.http.execute(request).await?);
        take_hop_by_hop(response.headers_mut());
        let fault = self.record().answered(number, response.status());
        self.changed.send_replace(());
        match fault {
            None => Ok(response),
            Some(fault) => fault.after(response).await,
        }
    }
}

/// What concerns one connection alone (RFC 9110 section 7.6.1).
fn take_hop_by_hop(headers: &mut HeaderMap) {
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::TE, header::TRAILER, header::UPGRADE] {
        headers.remove(name);
    }
}
