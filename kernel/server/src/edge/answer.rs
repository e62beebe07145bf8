//! What the kernel answers by itself: HTTP errors, JSON-RPC errors, and tool errors, each made in one place.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use http_body::Body;
use http_body_util::Full;
use rmcp::model::{CallToolResult, ContentBlock, ErrorCode, ErrorData};
use serde::Serialize;
use tentacular_process::{
    http::{BoxResponse, boxed},
    link::envelope::{HEADER_MISMATCH, INVALID_REQUEST, METHOD_NOT_FOUND},
};

use super::{prepared::PreparedAnswer, version::Era};
use crate::refusal::{Refusal, Told};

/// A text for whoever reads HTTP.
pub(crate) fn text(status: StatusCode, text: impl Into<String>) -> BoxResponse {
    respond(status, "text/plain; charset=utf-8", Full::new((text.into() + "\n").into()))
}

/// A JSON body.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> BoxResponse {
    respond(status, "application/json", Full::new(body.into()))
}

/// The answer that was prepared.
pub(crate) fn prepared(answer: PreparedAnswer) -> BoxResponse {
    respond(StatusCode::OK, "application/json", answer)
}

fn respond<B>(status: StatusCode, kind: &'static str, body: B) -> BoxResponse
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    boxed(response)
}

/// What a JSON-RPC message says that answers a request.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome<'a> {
    Result(CallToolResult),
    Error(&'a ErrorData),
}

/// The message, with the id as it was written. MCP has none where it could not be read, not the `null` of JSON-RPC.
fn message(id: Option<&str>, outcome: &Outcome<'_>) -> String {
    let id = id.map(|id| format!("\"id\":{id},")).unwrap_or_default();
    let outcome = serde_json::to_string(outcome).unwrap_or_default();
    format!("{{\"jsonrpc\":\"2.0\",{id}{}", outcome.trim_start_matches('{'))
}

/// HTTP 400 with a JSON-RPC error.
pub(crate) fn bad_request(id: Option<&str>, error: &ErrorData) -> BoxResponse {
    json(StatusCode::BAD_REQUEST, message(id, &Outcome::Error(error)))
}

/// The answer to a request that is refused.
pub(crate) fn refusal(id: &str, refusal: &Refusal, era: Era) -> BoxResponse {
    match &refusal.told {
        Told::Sentence(sentence) => tool_error(id, sentence, era),
        Told::Malformed(error) => bad_request(Some(id), error),
        Told::Error(error) => json(status(error.code, era), message(Some(id), &Outcome::Error(error))),
    }
}

/// What the era's transport says of a code.
fn status(code: ErrorCode, era: Era) -> StatusCode {
    match code.0 {
        INVALID_REQUEST | HEADER_MISMATCH => StatusCode::BAD_REQUEST,
        METHOD_NOT_FOUND if era == Era::Stateless => StatusCode::NOT_FOUND,
        _ => StatusCode::OK,
    }
}

/// The JSON-RPC response whose result is a tool error: one sentence that the caller's model reads.
pub(crate) fn tool_error_message(id: &str, sentence: &str, era: Era) -> String {
    let mut result = CallToolResult::error(vec![ContentBlock::text(sentence)]);
    if era == Era::Handshake {
        result.result_type = None;
    }
    message(Some(id), &Outcome::Result(result))
}

/// A tool error as the whole answer.
pub(crate) fn tool_error(id: &str, sentence: &str, era: Era) -> BoxResponse {
    json(StatusCode::OK, tool_error_message(id, sentence, era))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_has_the_status_of_its_code_and_era() {
        let id = "1";
        let status = |refused: Refusal, era| refusal(id, &refused, era).status().as_u16();
        let error = |code| Refusal::error("rule", code, "no");
        for (era, not_found) in [(Era::Handshake, 200), (Era::Stateless, 404)] {
            assert_eq!(status(error(METHOD_NOT_FOUND), era), not_found);
            assert_eq!(status(error(HEADER_MISMATCH), era), 400);
            assert_eq!(status(error(INVALID_REQUEST), era), 400);
            assert_eq!(status(error(-32602), era), 200);
            assert_eq!(status(Refusal::malformed("rule", -32602, "no"), era), 400);
            assert_eq!(status(Refusal::sentence("rule", "no"), era), 200);
        }
    }

    #[test]
    fn a_message_has_the_id_as_it_was_written_or_none() {
        let id = r#""\u0061""#;
        let error = ErrorData::invalid_request("no", Some(json!([1])));
        let said = message(Some(id), &Outcome::Error(&error));
        assert_eq!(said, r#"{"jsonrpc":"2.0","id":"\u0061","error":{"code":-32600,"message":"no","data":[1]}}"#);
        assert!(!message(None, &Outcome::Error(&error)).contains("\"id\""));
        let (old, new) = (tool_error_message(id, "no", Era::Handshake), tool_error_message(id, "no", Era::Stateless));
        assert!(!old.contains("resultType") && new.contains("\"resultType\":\"complete\""), "{old} {new}");
    }
}
