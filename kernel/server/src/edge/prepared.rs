//! Answers that are the same for everybody, as bytes: made once, and given with the id of each request put in front.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use serde::Serialize;

/// The result of a request, ready to be sent: the end of its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Prepared(Bytes);

impl Prepared {
    pub(crate) fn new(result: &impl Serialize) -> Self {
        let mut end = serde_json::to_vec(result).unwrap_or_default();
        end.push(b'}');
        Self(end.into())
    }

    /// The whole answer to a request with this id, which is given back as it was written.
    pub(crate) fn answer(&self, id: &str) -> PreparedAnswer {
        let parts = [b"{\"jsonrpc\":\"2.0\",\"id\":", id.as_bytes(), b",\"result\":"];
        PreparedAnswer { begin: parts.concat().into(), end: self.0.clone() }
    }
}

/// An answer as a body. The prepared bytes are sent from where they are: a list of tools is long.
#[derive(Debug)]
pub(crate) struct PreparedAnswer {
    begin: Bytes,
    end: Bytes,
}

impl Body for PreparedAnswer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Self { begin, end } = self.get_mut();
        let part = [begin, end].into_iter().find(|part| !part.is_empty()).map(std::mem::take);
        Poll::Ready(part.map(|part| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.begin.is_empty() && self.end.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact((self.begin.len() + self.end.len()) as u64)
    }
}
