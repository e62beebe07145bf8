//! The requests that run on a connection, and how long one may live on which none does.

use std::{
    pin::Pin,
    task::{self, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame, SizeHint};
use tentacular_contract::limits::HEADER_TIME;
use tokio::{sync::watch, time::timeout};

use super::BoxError;

/// How long a connection may stay without a request after its first one. Longer than clients keep theirs (90 s is usual),
/// so that it is they who end it.
const IDLE: Duration = Duration::from_mins(2);
/// How long one without a request may take to end, once the process does.
pub(super) const END: Duration = Duration::from_secs(1);

/// The requests that run on one connection, each until its answer has been sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Requests(watch::Sender<Count>);

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    running: usize,
    ever: bool,
}

impl Requests {
    pub(super) fn begin(&self) -> Running {
        self.0.send_modify(|count| *count = Count { running: count.running + 1, ever: true });
        Running(self.clone())
    }

    /// Returns when nothing has run for as long as a connection may wait for its first request, or its next, or its end.
    /// Where it is `crowded`, that is soon.
    pub(super) async fn idle(&self, ending: bool, crowded: impl Fn() -> bool) {
        let mut changes = self.0.subscribe();
        loop {
            let count = *changes.borrow_and_update();
            let patience = match count {
                Count { running: 1.., .. } => Duration::MAX,
                _ if ending => END,
                Count { ever: true, .. } if !crowded() => IDLE,
                _ => HEADER_TIME,
            };
            if timeout(patience, changes.changed()).await.is_err() {
                return;
            }
        }
    }
}

/// One request that runs.
#[derive(Debug)]
pub(super) struct Running(Requests);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| count.running -= 1);
    }
}

/// The body of an answer, which ends its request.
pub(super) struct Counted {
    body: UnsyncBoxBody<Bytes, BoxError>,
    _running: Running,
}

impl Counted {
    /// `body` as the end of `running`.
    pub(super) const fn new(body: UnsyncBoxBody<Bytes, BoxError>, running: Running) -> Self {
        Self { body, _running: running }
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
