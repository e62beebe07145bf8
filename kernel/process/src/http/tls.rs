//! The same server behind TLS. Handshakes run beside each other, so that whoever is slow in one keeps nobody waiting, and
//! whoever begins many of them and goes no further only pushes out his own.

use std::{
    collections::{HashMap, VecDeque},
    fmt, io,
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwapOption;
use rustls::{
    ServerConfig,
    crypto::ring,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
};
use tentacular_contract::limits::HEADER_TIME;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{Accept, Peer, site};

/// Handshakes at the same time. Each holds some kilobytes.
const HANDSHAKES: usize = 512;

/// The certificate that new connections get. Clones share it. Without one, handshakes fail.
#[derive(Clone, Default)]
pub struct Serving(Arc<ArcSwapOption<CertifiedKey>>);

impl Serving {
    /// Serves `key` from the next connection on.
    pub fn set(&self, key: Arc<CertifiedKey>) {
        self.0.store(Some(key));
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Serving").field(&self.0.load().is_some()).finish()
    }
}

impl ResolvesServerCert for Serving {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}

/// TLS connections whose handshake is done.
pub struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    handshakes: Handshakes,
}

impl TlsListener {
    /// Takes connections from `listener`, for HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(listener: TcpListener, serving: Serving) -> anyhow::Result<Self> {
        Self::speaking(&[b"h2", b"http/1.1"], listener, serving)
    }

    /// The same for HTTP/1.1 alone.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn http1(listener: TcpListener, serving: Serving) -> anyhow::Result<Self> {
        Self::speaking(&[b"http/1.1"], listener, serving)
    }

    fn speaking(protocols: &[&[u8]], listener: TcpListener, serving: Serving) -> anyhow::Result<Self> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(serving));
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        // A session that is resumed would go on with the certificate of before.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Self { listener, acceptor, handshakes: Handshakes::new(HANDSHAKES, HEADER_TIME) })
    }
}

impl fmt::Debug for TlsListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsListener").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl Accept for TlsListener {
    type Io = TlsStream<TcpStream>;

    async fn accept(&mut self) -> io::Result<(Self::Io, Option<Peer>)> {
        loop {
            tokio::select! {
                // In this order, those that have ended make room before another begins.
                biased;
                Some(ready) = self.handshakes.next() => return Ok(ready),
                accepted = Accept::accept(&mut self.listener) => {
                    let (stream, peer) = accepted?;
                    self.handshakes.begin(&self.acceptor, stream, peer);
                }
            }
        }
    }
}

/// The handshakes that run. Above the limit, the oldest one of the address that has most of them ends for the next.
struct Handshakes {
    running: JoinSet<Option<(TlsStream<TcpStream>, Option<Peer>)>>,
    /// Oldest first.
    order: VecDeque<(Option<IpAddr>, AbortHandle)>,
    at_once: usize,
    time: Duration,
}

impl Handshakes {
    fn new(at_once: usize, time: Duration) -> Self {
        Self { running: JoinSet::new(), order: VecDeque::new(), at_once, time }
    }

    fn begin(&mut self, acceptor: &TlsAcceptor, stream: TcpStream, peer: Option<Peer>) {
        self.make_room();
        let (accepting, time) = (acceptor.accept(stream), self.time);
        let handle = self.running.spawn(async move {
            match timeout(time, accepting).await {
                Ok(Ok(stream)) => return Some((stream, peer)),
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            }
            None
        });
        self.order.push_back((peer.map(|peer| site(peer.0)), handle));
    }

    fn make_room(&mut self) {
        self.order.retain(|(_, handle)| !handle.is_finished());
        if self.order.len() < self.at_once {
            return;
        }
        let mut counts = HashMap::new();
        for (address, _) in &self.order {
            *counts.entry(*address).or_insert(0) += 1;
        }
        let most = counts.values().copied().max().unwrap_or_default();
        if let Some(oldest) = self.order.iter().position(|(address, _)| counts[address] == most)
            && let Some((_, handle)) = self.order.remove(oldest)
        {
            handle.abort();
        }
    }

    /// The next one that is done; none when none runs.
    async fn next(&mut self) -> Option<(TlsStream<TcpStream>, Option<Peer>)> {
        loop {
            // An error is a handshake that was ended for another, or panicked.
            if let Ok(Some(ready)) = self.running.join_next().await? {
                return Some(ready);
            }
        }
    }
}

#[cfg(test)]
mod tests;
