//! The requests that run on a connection, and how long one may live on which none does.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{self, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tentacular_contract::limits::HEADER_TIME;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{BoxBody, BoxError};

/// How long a connection may stay without a request. Longer than clients keep theirs (90 s is usual), so that it is they who
/// end it: a request that meets the end of its connection may be lost. Before the first one too, as a client that got another
/// connection in the meantime keeps the new one for later.
const IDLE: Duration = Duration::from_mins(2);
/// How long one without a request may take to end, once the process does.
pub(super) const END: Duration = Duration::from_secs(1);

/// How long the other end may leave what is there of its answers untaken.
const STALL: Duration = Duration::from_secs(30);

/// The requests that run on one connection, each until its answer has been sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Requests {
    running: watch::Sender<usize>,
    /// Answers of which the connection has not asked for the next piece, and since when.
    untaken: Arc<Mutex<HashMap<u64, Instant>>>,
    next: Arc<AtomicU64>,
}

impl Requests {
    pub(super) fn begin(&self) -> Running {
        self.running.send_modify(|running| *running += 1);
        Running { requests: self.clone(), answer: self.next.fetch_add(1, Ordering::Relaxed) }
    }

    /// Returns when the other end has not taken a piece of any answer for too long. While another is made or taken, it is the
    /// window of that one answer which is closed, and the others of the connection go on.
    pub(super) async fn stalled(&self) {
        loop {
            let running = *self.running.borrow();
            let untaken = Some(self.untaken()).filter(|untaken| untaken.len() == running);
            let latest = untaken.and_then(|untaken| untaken.values().max().copied());
            match latest {
                Some(since) if since.elapsed() >= STALL => return,
                Some(since) => sleep_until(since + STALL).await,
                None => sleep(STALL).await,
            }
        }
    }

    fn untaken(&self) -> MutexGuard<'_, HashMap<u64, Instant>> {
        self.untaken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when nothing has run for as long as a connection may wait for its first request, or its next, or its end.
    /// Where it is `crowded`, that is soon.
    pub(super) async fn idle(&self, ending: bool, crowded: impl Fn() -> bool) {
        let mut changes = self.running.subscribe();
        loop {
            let running = *changes.borrow_and_update();
            let patience = match running {
                1.. => Duration::MAX,
                0 if ending => END,
                0 if crowded() => HEADER_TIME,
                0 => IDLE,
            };
            if timeout(patience, changes.changed()).await.is_err() {
                return;
            }
        }
    }
}

/// One request that runs.
#[derive(Debug)]
pub(super) struct Running {
    requests: Requests,
    answer: u64,
}

impl Running {
    /// A piece is there for the other end.
    fn offer(&self) {
        self.requests.untaken().insert(self.answer, Instant::now());
    }

    /// The connection asks for the next piece: what was there has been taken.
    fn taken(&self) {
        self.requests.untaken().remove(&self.answer);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.requests.untaken().remove(&self.answer);
        self.requests.running.send_modify(|running| *running -= 1);
    }
}

/// The body of an answer, which ends its request.
pub(super) struct Counted {
    body: BoxBody,
    running: Running,
}

impl Counted {
    /// `body` as the end of `running`.
    pub(super) fn new(body: BoxBody, running: Running) -> Self {
        running.offer();
        Self { body, running }
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.running.taken();
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(_))) = frame {
            self.running.offer();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
