//! A sidecar's answer on its way to the caller, as bytes, and the truth about how it ended.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use tentacular_process::http::BoxError;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};

use super::{answer, ending::Ending, forward::Call};

/// A sidecar's answer on its way: its data, and how it ends.
pub(super) struct Answer {
    pub(super) data: mpsc::Receiver<Bytes>,
    pub(super) end: oneshot::Receiver<End>,
}

/// How an answer ends. Whoever sends it never waits for a caller who does not read; it comes after all data.
pub(super) enum End {
    /// It was whole.
    Whole,
    /// It was not, which these last bytes say.
    Says(Bytes),
    /// It was not: the connection is cut, so that half an answer is never taken for a whole one.
    Cut(String),
}

impl Answer {
    /// The next piece, and what is left after it.
    pub(super) async fn next(mut self) -> Option<(Result<Frame<Bytes>, BoxError>, Option<Self>)> {
        if let Some(data) = self.data.recv().await {
            return Some((Ok(Frame::data(data)), Some(self)));
        }
        match self.end.await {
            Ok(End::Whole) => None,
            Ok(End::Says(data)) => Some((Ok(Frame::data(data)), None)),
            Ok(End::Cut(why)) => Some((Err(why.into()), None)),
            Err(_) => Some((Err("the call ended unexpectedly".into()), None)),
        }
    }
}

impl End {
    /// The end of an answer that streams events, or is one piece of JSON.
    pub(super) fn of(ending: Ending, call: &Call, streams: bool) -> Self {
        match ending {
            Ending::Answered | Ending::Cancelled => Self::Whole,
            // A piece is missing: nothing after it would be understood.
            Ending::Unread => Self::Cut(ending.sentence(call)),
            _ if !streams => Self::Cut(ending.sentence(call)),
            _ => {
                let message = answer::tool_error_message(&call.id, &ending.sentence(call), call.era);
                // The blank line ends an event that was left unfinished.
                Self::Says(Bytes::from(format!("\n\nevent: message\ndata: {message}\n\n")))
            }
        }
    }
}

/// Passes the data on, and nothing else that a body may carry.
pub(super) async fn relay(mut body: Incoming, data: &mpsc::Sender<Bytes>, until: Instant, call: &Call) -> Ending {
    loop {
        let next = tokio::select! {
            next = timeout_at(until, body.frame()) => next,
            () = data.closed(), if call.ends_with_its_caller() => return Ending::Cancelled,
        };
        match next {
            Ok(Some(Ok(frame))) => {
                let Ok(bytes) = frame.into_data() else { continue };
                // A caller who left hears no more; the sidecar's answer is read all the same.
                if timeout_at(until, data.send(bytes)).await.is_err() {
                    return Ending::Unread;
                }
            }
            Ok(None) => return Ending::Answered,
            Ok(Some(Err(error))) => {
                tracing::warn!(sidecar = call.tool.sidecar, tool = call.tool.name, %error, "an answer broke off");
                return Ending::Broken;
            }
            Err(_) => return Ending::TooLate,
        }
    }
}
