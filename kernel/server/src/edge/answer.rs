//! What the kernel answers by itself: HTTP errors, JSON-RPC errors, and tool errors, each made in one place.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use http_body::Body;
use http_body_util::Full;
use rmcp::model::{CallToolResult, ContentBlock, ErrorCode, ErrorData};
use serde::Serialize;
use serde_json::value::RawValue;
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

/// A JSON-RPC message that answers a request.
#[derive(Serialize)]
struct Message<'a> {
    jsonrpc: &'static str,
    /// As it was written. MCP has none where it could not be read, not the `null` of JSON-RPC.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
    #[serde(flatten)]
    outcome: Outcome<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome<'a> {
    Result(CallToolResult),
    Error(&'a ErrorData),
}

fn message(id: Option<&RawValue>, outcome: Outcome<'_>) -> String {
    serde_json::to_string(&Message { jsonrpc: "2.0", id, outcome }).unwrap_or_default()
}

/// HTTP 400 with a JSON-RPC error.
pub(crate) fn bad_request(id: Option<&RawValue>, error: &ErrorData) -> BoxResponse {
    json(StatusCode::BAD_REQUEST, message(id, Outcome::Error(error)))
}

/// The answer to a request that is refused.
pub(crate) fn refusal(id: &RawValue, refusal: &Refusal, era: Era) -> BoxResponse {
    match &refusal.told {
        Told::Sentence(sentence) => tool_error(id, sentence, era),
        Told::Malformed(error) => bad_request(Some(id), error),
        Told::Error(error) => json(status(error.code, era), message(Some(id), Outcome::Error(error))),
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
pub(crate) fn tool_error_message(id: &RawValue, sentence: &str, era: Era) -> String {
    let mut result = CallToolResult::error(vec![ContentBlock::text(sentence)]);
    if era == Era::Handshake {
        result.result_type = None;
    }
    message(Some(id), Outcome::Result(result))
}

/// A tool error as the whole answer.
pub(crate) fn tool_error(id: &RawValue, sentence: &str, era: Era) -> BoxResponse {
    json(StatusCode::OK, tool_error_message(id, sentence, era))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_has_the_status_of_its_code_and_era() {
        let id = RawValue::from_string("1".to_owned()).expect("JSON");
        let status = |refused: Refusal, era| refusal(&id, &refused, era).status().as_u16();
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
        let id = RawValue::from_string("\"\\u0061\"".to_owned()).expect("JSON");
        let error = ErrorData::invalid_request("no", Some(json!([1])));
        let said = message(Some(&id), Outcome::Error(&error));
        assert_eq!(said, r#"{"jsonrpc":"2.0","id":"\u0061","error":{"code":-32600,"message":"no","data":[1]}}"#);
        assert!(!message(None, Outcome::Error(&error)).contains("\"id\""));
        let (old, new) =
            (tool_error_message(&id, "no", Era::Handshake), tool_error_message(&id, "no", Era::Stateless));
        assert!(!old.contains("resultType") && new.contains("\"resultType\":\"complete\""), "{old} {new}");
    }
}
