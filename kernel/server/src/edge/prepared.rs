//! Answers that are the same for everybody, as bytes: made once, and given with the id of each request put in.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

/// The result of a request, ready to be sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Prepared(Bytes);

impl Prepared {
    pub(crate) fn new(result: &impl Serialize) -> Self {
        Self(serde_json::to_vec(result).unwrap_or_default().into())
    }

    /// The whole answer to a request with this id, which is given back as it was written.
    pub(crate) fn answer(&self, id: &RawValue) -> Bytes {
        let parts = [b"{\"jsonrpc\":\"2.0\",\"id\":", id.get().as_bytes(), b",\"result\":", &self.0, b"}"];
        parts.concat().into()
    }
}
