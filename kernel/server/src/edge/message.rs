//! One request, as the edge has read it.

use bytes::Bytes;
use http::HeaderMap;
use tentacular_process::link::envelope::Envelope;

use super::{
    headers::{self, ParamHeader},
    version::{self, Era},
};
use crate::refusal::Refusal;

/// A request.
pub(crate) struct Message<'a> {
    pub(super) envelope: Envelope<'a>,
    pub(super) id: &'a str,
    pub(super) era: Era,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a Bytes,
}

impl<'a> Message<'a> {
    pub(super) fn new(envelope: Envelope<'a>, id: &'a str, headers: &'a HeaderMap, body: &'a Bytes) -> Self {
        let era = Era::of(&envelope, headers);
        Self { envelope, id, era, headers, body }
    }

    /// Refuses a version that is not served, or not rightly asked for.
    pub(super) fn check_version(&self) -> Result<(), Refusal> {
        version::check(&self.envelope, self.headers, self.era)
    }

    /// Refuses headers that say something else than the body.
    pub(super) fn check_headers(&self, params: &[ParamHeader]) -> Result<(), Refusal> {
        Ok(headers::check(&self.envelope, self.headers, self.era, params)?)
    }

    /// Whether it asks for nothing but what its method gives everybody. Its version has been checked, and with it the
    /// `_meta` of a stateless request; with a handshake there is none.
    pub(super) fn is_plain(&self) -> bool {
        self.envelope.bare && (self.era == Era::Stateless || self.envelope.meta.is_none())
    }
}
