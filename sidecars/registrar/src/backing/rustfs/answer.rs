//! What the admin API's answers mean that say no.

use reqwest::StatusCode;
use serde_json::Value;

use super::connect::refusal;
use crate::backing::service::Failure;

/// Why a call gave nothing.
pub(super) enum No {
    /// What it is about is not there, by the word of the API, or of an S3 server that takes its path for a bucket's.
    Absent {
        by_api: bool,
        failure: Failure,
    },
    Failure(Failure),
}

impl No {
    /// Out of an answer, which is JSON or XML.
    pub(super) fn of(status: StatusCode, text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let json: Value = serde_json::from_str(&text).unwrap_or_default();
        let said = |name: &str| {
            let element = || Some(text.split_once(&format!("<{name}>"))?.1.split_once("</")?.0.to_owned());
            json[name].as_str().map(str::to_owned).or_else(element)
        };
        let (code, message) = (said("Code"), said("Message"));
        let failure = refusal(status.as_u16(), code.as_deref(), message.as_deref());
        // Older RustFS answers 500 where there is none.
        let absent = status == StatusCode::NOT_FOUND
            || message.is_some_and(|message| message.contains("does not exist") || message.contains("no such"));
        let by_api = code.is_some_and(|code| !["NoSuchBucket", "NoSuchKey"].contains(&code.as_str()));
        if absent { Self::Absent { by_api, failure } } else { Self::Failure(failure) }
    }
}

impl From<No> for Failure {
    fn from(no: No) -> Self {
        match no {
            No::Absent { failure, .. } | No::Failure(failure) => failure,
        }
    }
}

/// The answer, or none where what it is about is not there.
pub(super) fn known(answer: Result<Vec<u8>, No>) -> Result<Option<Vec<u8>>, Failure> {
    match answer {
        Ok(text) => Ok(Some(text)),
        Err(No::Absent { .. }) => Ok(None),
        Err(No::Failure(failure)) => Err(failure),
    }
}
