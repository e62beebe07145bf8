//! A proxy before a service of whatever protocol, so that a test drives faults by what is said and not by time: it passes bytes
//! on as they are, counts exchanges, and fails those that it is told to fail.

use std::{
    net::{Ipv4Addr, SocketAddr},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

use crate::port::Port;

/// How long an answer is waited for that is not passed on. What has none is cut all the same.
const ANSWER: Duration = Duration::from_millis(500);
/// Most bytes that are passed on at once.
const CHUNK: usize = 64 * 1024;

/// The proxy. It lives on [`crate::background`] until it is dropped.
///
/// An exchange is a connection that is made, or what a client says on one after the service said something.
#[derive(Debug)]
pub struct TcpProxy {
    port: Port,
    way: Arc<Way>,
}

/// What goes wrong at an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TcpFault {
    /// The service does not hear of it, and the connection is cut.
    CutBefore,
    /// The service hears of it, and the connection is cut in place of the answer.
    CutAfter,
    /// Nothing passes until [`TcpProxy::mend`]; then all of it does.
    Stall,
    /// The service does not hear of it, and this is the answer and the end of the connection.
    Answer(Vec<u8>),
}

#[derive(Debug, Default)]
struct Way {
    plan: Mutex<Plan>,
    /// Told when the faults are taken back.
    mended: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Plan {
    /// Exchanges so far.
    count: usize,
    fault: Option<(Range<usize>, TcpFault)>,
    struck: bool,
}

impl TcpProxy {
    /// Starts one before the service at that address.
    pub fn start(service: SocketAddr) -> anyhow::Result<Self> {
        Self::on(Arc::default(), Port::reserve()?, service)
    }

    /// The same, which listens on another address than loopback's.
    pub fn start_on(address: Ipv4Addr, service: SocketAddr) -> anyhow::Result<Self> {
        Self::on(Arc::default(), Port::reserve_on(address)?, service)
    }

    /// Another one, before another port of the same service: exchanges count and faults strike on both together.
    pub fn beside(&self, service: SocketAddr) -> anyhow::Result<Self> {
        Self::on(Arc::clone(&self.way), Port::reserve()?, service)
    }

    fn on(way: Arc<Way>, port: Port, service: SocketAddr) -> anyhow::Result<Self> {
        let proxy = Self { port, way };
        proxy.port.open(|listener| serve(listener, service, Arc::clone(&proxy.way)))?;
        Ok(proxy)
    }

    /// Where clients connect to.
    pub const fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Lets `fault` strike the exchanges whose numbers, counted from 0 from now on, are in `which`, in place of what it was told
    /// before.
    pub fn fail(&self, which: Range<usize>, fault: TcpFault) {
        *self.way.plan() = Plan { count: 0, fault: Some((which, fault)), struck: false };
    }

    /// Takes the faults back, so that what stands still goes on. Returns whether one has struck.
    pub fn mend(&self) -> bool {
        let struck = std::mem::take(&mut *self.way.plan()).struck;
        self.way.mended.send_replace(());
        struck
    }

    /// How many exchanges there were since the faults were last set or taken back.
    pub fn exchanges(&self) -> usize {
        self.way.plan().count
    }
}

impl Way {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an exchange. Returns what strikes it.
    fn exchange(&self) -> Option<TcpFault> {
        let mut plan = self.plan();
        let number = plan.count;
        plan.count += 1;
        let (_, fault) = plan.fault.as_ref().filter(|(which, _)| which.contains(&number))?;
        let fault = fault.clone();
        plan.struck = true;
        Some(fault)
    }
}

/// Its connections end with it.
async fn serve(listener: TcpListener, service: SocketAddr, way: Arc<Way>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        let way = Arc::clone(&way);
        connections.spawn(async move {
            // It ends when either side ends it, or a fault does.
            let _ = Connection { client, service, way }.pass().await;
        });
        // Those that ended need not be kept.
        while connections.try_join_next().is_some() {}
    }
}

struct Connection {
    client: TcpStream,
    service: SocketAddr,
    way: Arc<Way>,
}

impl Connection {
    /// Passes on what is said on both sides, until one of them or a fault ends it.
    async fn pass(mut self) -> std::io::Result<()> {
        self.client.set_nodelay(true)?;
        let first = self.way.exchange();
        if first == Some(TcpFault::CutBefore) {
            return Ok(());
        }
        let mut service = TcpStream::connect(self.service).await?;
        service.set_nodelay(true)?;
        if !self.struck(first, &mut service, &[]).await? {
            return Ok(());
        }
        let (mut said, mut answered) = (vec![0; CHUNK], vec![0; CHUNK]);
        let mut asked = false;
        loop {
            tokio::select! {
                read = self.client.read(&mut said) => {
                    let bytes = &said[..read?];
                    if bytes.is_empty() {
                        return Ok(());
                    }
                    let fault = if asked { None } else { self.way.exchange() };
                    asked = true;
                    if !self.struck(fault, &mut service, bytes).await? {
                        return Ok(());
                    }
                }
                read = service.read(&mut answered) => {
                    let bytes = &answered[..read?];
                    if bytes.is_empty() {
                        return Ok(());
                    }
                    asked = false;
                    self.client.write_all(bytes).await?;
                }
            }
        }
    }

    /// Passes on what was said as far as the fault lets it. Returns whether the connection goes on.
    async fn struck(
        &mut self,
        fault: Option<TcpFault>,
        service: &mut TcpStream,
        said: &[u8],
    ) -> std::io::Result<bool> {
        match fault {
            None => {}
            Some(TcpFault::CutBefore) => return Ok(false),
            Some(TcpFault::CutAfter) => {
                service.write_all(said).await?;
                // Its answer says that it has done what it was asked for.
                let _ = timeout(ANSWER, service.read(&mut [0; 1])).await;
                return Ok(false);
            }
            Some(TcpFault::Answer(answer)) => {
                self.client.write_all(&answer).await?;
                self.client.shutdown().await?;
                return Ok(false);
            }
            Some(TcpFault::Stall) => {
                let mut mended = self.way.mended.subscribe();
                let mut all = said.to_vec();
                while self.way.plan().fault.is_some() {
                    tokio::select! {
                        _ = mended.changed() => {}
                        // The service is to see at once that a client gave up.
                        read = self.client.read_buf(&mut all) => if read? == 0 {
                            return Ok(false);
                        }
                    }
                }
                service.write_all(&all).await?;
                return Ok(true);
            }
        }
        service.write_all(said).await?;
        Ok(true)
    }
}
