//! What a Service is to the API server, on loopback: one address, and behind it whoever is ready.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};

use crate::{port::Port, tls};

/// Between two looks at whether an endpoint is ready; a kubelet looks less often.
const LOOK: Duration = Duration::from_millis(100);

/// A Service. It lives on [`crate::background`] until it is dropped.
#[derive(Debug)]
pub struct Service {
    port: Port,
    endpoints: Arc<Endpoints>,
}

#[derive(Debug, Default)]
struct Endpoints {
    all: Mutex<Vec<Endpoint>>,
    turn: AtomicUsize,
}

/// Where a process listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// For those who call it.
    pub address: SocketAddr,
    /// Its second port, with /readyz and /metrics.
    pub observe: SocketAddr,
}

impl Service {
    /// Starts one without endpoints. Fails when no port can be had.
    pub fn start() -> anyhow::Result<Self> {
        let service = Self { port: Port::reserve()?, endpoints: Arc::default() };
        let endpoints = Arc::clone(&service.endpoints);
        service.port.open(move |listener| serve(listener, endpoints))?;
        Ok(service)
    }

    /// The address that it is called by.
    pub const fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Takes up an endpoint. It gets connections while it is ready; those that it has are left to it.
    pub fn add(&self, endpoint: Endpoint) {
        self.endpoints.lock().push(endpoint);
    }
}

impl Endpoints {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Endpoint>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection to the next one that is ready, in turn; none when none is.
    async fn connect(&self, ready: &Mutex<Vec<SocketAddr>>) -> Option<TcpStream> {
        let mut ready = ready.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if ready.is_empty() {
            return None;
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % ready.len();
        ready.rotate_left(turn);
        for address in ready {
            // One that ended a moment ago still counts as ready, and refuses.
            if let Ok(stream) = TcpStream::connect(address).await {
                return Some(stream);
            }
        }
        None
    }
}

/// Its connections end with it.
async fn serve(listener: TcpListener, endpoints: Arc<Endpoints>) {
    let ready = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    tasks.spawn(look(Arc::clone(&endpoints), Arc::clone(&ready)));
    loop {
        let Ok((mut client, _)) = listener.accept().await else { continue };
        let (endpoints, ready) = (Arc::clone(&endpoints), Arc::clone(&ready));
        tasks.spawn(async move {
            let Some(mut endpoint) = endpoints.connect(&ready).await else { return };
            let _ = (client.set_nodelay(true), endpoint.set_nodelay(true));
            // How a connection ends concerns the two ends.
            let _ = copy_bidirectional(&mut client, &mut endpoint).await;
        });
        // Those that ended need not be kept.
        while tasks.try_join_next().is_some() {}
    }
}

/// Keeps `ready` up to date. Who is too slow to answer, as on a loaded machine, stays what he was.
async fn look(endpoints: Arc<Endpoints>, ready: Arc<Mutex<Vec<SocketAddr>>>) {
    let Ok(http) = tls::plain().timeout(Duration::from_secs(1)).build() else { return };
    loop {
        let all = endpoints.lock().clone();
        for endpoint in all {
            let answer = http.get(format!("http://{}/readyz", endpoint.observe)).send().await;
            if answer.as_ref().is_err_and(reqwest::Error::is_timeout) {
                continue;
            }
            let mut ready = ready.lock().unwrap_or_else(PoisonError::into_inner);
            ready.retain(|address| *address != endpoint.address);
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                ready.push(endpoint.address);
            }
        }
        sleep(LOOK).await;
    }
}
