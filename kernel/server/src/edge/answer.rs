//! What the kernel answers by itself: HTTP errors, JSON-RPC errors, and tool errors, each made in one place.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::{json, value::RawValue};
use tentacular_process::{
    http::{BoxResponse, boxed},
    link::envelope::{HEADER_MISMATCH, INVALID_REQUEST, METHOD_NOT_FOUND, PARSE_ERROR, Refused},
};

/// Which protocol a request speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Era {
    /// Before 2026-07-28, with an `initialize` handshake.
    Handshake,
    /// 2026-07-28 and later, every request for itself.
    Stateless,
}

/// A text for whoever reads HTTP.
pub(crate) fn text(status: StatusCode, text: impl Into<String>) -> BoxResponse {
    respond(status, "text/plain; charset=utf-8", text.into() + "\n")
}

/// A JSON body.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> BoxResponse {
    respond(status, "application/json", body)
}

fn respond(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> BoxResponse {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    boxed(response)
}

/// A JSON-RPC error. Its HTTP status is what the era's transport says of the code.
pub(crate) fn error(id: Option<&RawValue>, refused: &Refused, era: Era) -> BoxResponse {
    let status = match refused.code {
        PARSE_ERROR | INVALID_REQUEST | HEADER_MISMATCH => StatusCode::BAD_REQUEST,
        METHOD_NOT_FOUND if era == Era::Stateless => StatusCode::NOT_FOUND,
        _ => StatusCode::OK,
    };
    let body = json!({
        "jsonrpc": "2.0",
        "id": id,
        "error": { "code": refused.code, "message": refused.message },
    });
    json(status, body.to_string())
}

/// The JSON-RPC response whose result is a tool error: one sentence that the caller's model reads.
pub(crate) fn tool_error_message(id: &RawValue, sentence: &str, era: Era) -> String {
    let mut result = CallToolResult::error(vec![ContentBlock::text(sentence)]);
    if era == Era::Handshake {
        result.result_type = None;
    }
    json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string()
}

/// A tool error as the whole answer.
pub(crate) fn tool_error(id: &RawValue, sentence: &str, era: Era) -> BoxResponse {
    json(StatusCode::OK, tool_error_message(id, sentence, era))
}
