//! A port that stays its owner's while nothing serves on it, so that a service can be away and come back.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Mutex, PoisonError},
};

use anyhow::Context as _;
use tokio::{
    net::{TcpListener, TcpSocket},
    task::JoinHandle,
};

use crate::background;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 128;

/// A port, of loopback as a rule. What serves on it lives on [`background`] and ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Port {
    address: SocketAddr,
    /// Bound and never listening: it refuses connections, and keeps the port from others while nobody serves.
    _reserved: TcpSocket,
    server: Mutex<Option<JoinHandle<()>>>,
}

impl Port {
    /// Takes a free one. Fails when there is none.
    pub(crate) fn reserve() -> anyhow::Result<Self> {
        Self::reserve_on(Ipv4Addr::LOCALHOST)
    }

    /// The same of another address.
    pub(crate) fn reserve_on(address: Ipv4Addr) -> anyhow::Result<Self> {
        let _runtime = background().enter();
        let reserved = socket((address, 0).into())?;
        Ok(Self { address: reserved.local_addr()?, _reserved: reserved, server: Mutex::default() })
    }

    /// Its address.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens and lets `serve` have the listener. Its connections must end with its future. Fails when it cannot listen.
    pub(crate) fn open<Serving>(&self, serve: impl FnOnce(TcpListener) -> Serving) -> anyhow::Result<()>
    where
        Serving: Future<Output = ()> + Send + 'static,
    {
        let _runtime = background().enter();
        let listener =
            socket(self.address)?.listen(BACKLOG).with_context(|| format!("cannot serve {}", self.address))?;
        let server = background().spawn(serve(listener));
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
        Ok(())
    }

    /// Refuses connections from now on and cuts those that there are.
    pub(crate) async fn close(&self) {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(server) = server {
            server.abort();
            // An error here says that it was aborted.
            let _ = server.await;
        }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        if let Some(server) = self.server.get_mut().unwrap_or_else(PoisonError::into_inner) {
            server.abort();
        }
    }
}

/// Several may be bound to one port as long as none but one listens.
fn socket(address: SocketAddr) -> anyhow::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address).with_context(|| format!("cannot bind {address}"))?;
    Ok(socket)
}
