//! Why the kernel does not do what a request asks: what the sender is told, and what the record says.

use rmcp::model::{ErrorCode, ErrorData};
use tentacular_process::link::envelope::{HEADER_MISMATCH, INVALID_PARAMS, Refused};

/// A request that is refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// What refused it, from a fixed list: a label.
    pub(crate) rule: &'static str,
    /// For the record. It holds no argument's value.
    pub(crate) reason: String,
    /// For the sender.
    pub(crate) told: Told,
}

/// What the sender of a refused request is told.
#[derive(Debug)]
pub(crate) enum Told {
    /// A JSON-RPC error.
    Error(ErrorData),
    /// The same for a request that lacks what every request must have: HTTP 400, whatever the code.
    Malformed(ErrorData),
    /// A tool error: one sentence that the caller's model reads.
    Sentence(String),
}

impl Refusal {
    /// A refusal whose sentence may stand in the record.
    pub(crate) fn sentence(rule: &'static str, sentence: impl Into<String>) -> Self {
        let sentence = sentence.into();
        Self { rule, reason: sentence.clone(), told: Told::Sentence(sentence) }
    }

    /// A JSON-RPC error whose message may stand in the record.
    pub(crate) fn error(rule: &'static str, code: i32, message: impl Into<String>) -> Self {
        let reason = message.into();
        Self { rule, told: Told::Error(ErrorData::new(ErrorCode(code), reason.clone(), None)), reason }
    }

    /// A request that lacks what every request must have.
    pub(crate) fn malformed(rule: &'static str, code: i32, message: impl Into<String>) -> Self {
        let reason = message.into();
        Self { rule, told: Told::Malformed(ErrorData::new(ErrorCode(code), reason.clone(), None)), reason }
    }

    /// An argument that is not as it must be: for the caller's model to mend, which reads tool errors alone.
    pub(crate) fn argument(refused: Refused) -> Self {
        match refused.code {
            INVALID_PARAMS => Self::sentence("invalid-arguments", refused.message),
            _ => refused.into(),
        }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let rule = match refused.code {
            HEADER_MISMATCH => "header-mismatch",
            INVALID_PARAMS => "invalid-params",
            _ => "invalid-request",
        };
        Self::error(rule, refused.code, refused.message)
    }
}
