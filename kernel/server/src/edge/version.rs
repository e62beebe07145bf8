//! The version that a request speaks: which of the two protocol eras it belongs to, and whether it says so rightly.

use http::HeaderMap;
use rmcp::model::{ClientCapabilities, ErrorData, ProtocolVersion};
use serde_json::Value;
use tentacular_process::link::envelope::{Envelope, INVALID_PARAMS};

use super::headers::{mismatch, single};
use crate::refusal::{Refusal, Told};

/// Header of the protocol version.
const PROTOCOL_VERSION: &str = "mcp-protocol-version";
/// `_meta` members of requests that stand for themselves.
const META_PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// First version without a handshake. Versions are dates and compare as text.
const STATELESS: &str = "2026-07-28";

/// Which protocol a request speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Era {
    /// Before 2026-07-28, with an `initialize` handshake.
    Handshake,
    /// 2026-07-28 and later, every request for itself.
    Stateless,
}

impl Era {
    /// The era whose rules an answer follows, whether or not the request keeps them.
    pub(super) fn of(envelope: &Envelope<'_>, headers: &HeaderMap) -> Self {
        let version = headers.get(PROTOCOL_VERSION).and_then(|version| version.to_str().ok()).unwrap_or_default();
        let is_date = version.len() == STATELESS.len() && version.starts_with("20");
        let stateless = envelope.method != "initialize" && is_date && version >= STATELESS;
        if stateless { Self::Stateless } else { Self::Handshake }
    }
}

/// Refuses a version that is not served, one that header and `_meta` do not agree on, and a stateless request without
/// the `_meta` that stands for the handshake.
pub(super) fn check(envelope: &Envelope<'_>, headers: &HeaderMap, era: Era) -> Result<(), Refusal> {
    if envelope.method == "initialize" {
        // What it asks for is negotiated.
        return Ok(());
    }
    let header = single(headers, PROTOCOL_VERSION)?;
    let malformed = |code, message| Refusal::malformed("invalid-meta", code, message);
    let values = envelope.meta_values([META_PROTOCOL_VERSION, META_CAPABILITIES]);
    let [version, capabilities] = values.map_err(|refused| malformed(refused.code, refused.message))?;
    let version: Option<String> = version.and_then(|version| serde_json::from_str(version).ok());
    if let Some(version) = &version
        && header != Some(version)
    {
        return Err(mismatch(format!("header {PROTOCOL_VERSION} must be what _meta says")).into());
    }
    if let Some(requested) = header
        && !ProtocolVersion::KNOWN_VERSIONS.iter().any(|known| known.as_str() == requested)
    {
        return Err(unsupported(requested));
    }
    let complete = version.is_some() && capabilities.is_some_and(are_capabilities);
    if era == Era::Stateless && !complete {
        let message = format!("_meta must have {META_PROTOCOL_VERSION}, a text, and {META_CAPABILITIES}, an object");
        return Err(malformed(INVALID_PARAMS, message));
    }
    Ok(())
}

fn unsupported(requested: &str) -> Refusal {
    let reason = "the protocol version is not served".to_owned();
    // To serde a version is any text.
    let requested = serde_json::from_value(Value::from(requested)).unwrap_or_default();
    let error = ErrorData::unsupported_protocol_version(requested, ProtocolVersion::KNOWN_VERSIONS);
    Refusal { rule: "unsupported-version", reason, told: Told::Malformed(error) }
}

fn are_capabilities(value: &str) -> bool {
    value == "{}" || serde_json::from_str::<ClientCapabilities>(value).is_ok()
}

#[cfg(test)]
mod tests {
    use rmcp::model::ErrorCode;
    use serde_json::json;
    use tentacular_process::link::envelope::HEADER_MISMATCH;

    use super::*;

    fn checked(method: &str, header: &str, meta: &Value) -> Result<(), i32> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"_meta": meta}}).to_string();
        let envelope = Envelope::parse(body.as_bytes()).expect("a message");
        let headers =
            HeaderMap::from_iter([(PROTOCOL_VERSION.parse().expect("a name"), header.parse().expect("a value"))]);
        check(&envelope, &headers, Era::of(&envelope, &headers)).map_err(|refusal| match refusal.told {
            Told::Error(error) | Told::Malformed(error) => error.code.0,
            Told::Sentence(sentence) => panic!("{sentence}"),
        })
    }

    #[test]
    fn a_request_says_which_version_it_speaks_or_is_refused() {
        const UNSUPPORTED: i32 = ErrorCode::UNSUPPORTED_PROTOCOL_VERSION.0;
        let full = |version: &str| json!({META_PROTOCOL_VERSION: version, META_CAPABILITIES: {}});
        for (header, meta, expected) in [
            ("2026-07-28", full("2026-07-28"), Ok(())),
            ("2025-06-18", full("2025-06-18"), Ok(())),
            ("2024-11-05", json!({}), Ok(())),
            ("2026-07-28", json!({}), Err(INVALID_PARAMS)),
            ("2026-07-28", json!("x"), Err(INVALID_PARAMS)),
            ("1999-01-01", json!({}), Err(UNSUPPORTED)),
            ("", json!({}), Err(UNSUPPORTED)),
            ("x", json!({}), Err(UNSUPPORTED)),
            ("2031-01-01", json!({}), Err(UNSUPPORTED)),
            ("2031-01-01", full("2031-01-01"), Err(UNSUPPORTED)),
            ("2026-07-28", full("2031-01-01"), Err(HEADER_MISMATCH)),
            ("2025-06-18", full("2026-07-28"), Err(HEADER_MISMATCH)),
        ] {
            assert_eq!(checked("tools/list", header, &meta), expected, "{header:?} {meta}");
        }
        for capabilities in [json!(null), json!([]), json!("x"), json!({"roots": 1})] {
            let meta = json!({META_PROTOCOL_VERSION: "2026-07-28", META_CAPABILITIES: capabilities});
            assert_eq!(checked("tools/call", "2026-07-28", &meta), Err(INVALID_PARAMS), "{meta}");
        }
        assert_eq!(checked("initialize", "2031-01-01", &json!({})), Ok(()), "it is negotiated");
    }
}
