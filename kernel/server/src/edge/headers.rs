//! The headers that repeat what the body says (`Mcp-Method`, `Mcp-Name`, `Mcp-Param-*`): intermediaries route by them,
//! so they must agree with what is executed (MCP 2026-07-28, Streamable HTTP, SEP-2243).

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderMap;
use serde_json::{Map, Value};
use tentacular_process::link::envelope::{Envelope, HEADER_MISMATCH, Refused};

use super::answer::Era;

const METHOD: &str = "mcp-method";
const NAME: &str = "mcp-name";
const PARAM_PREFIX: &str = "mcp-param-";
/// Header of the protocol version.
pub(crate) const PROTOCOL_VERSION: &str = "mcp-protocol-version";
/// `_meta` member of the protocol version, in requests that stand for themselves.
const META_PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// First version without a handshake. Versions are dates and compare as text.
const STATELESS: &str = "2026-07-28";

/// An argument that a tool's schema promotes to a header (`x-mcp-header`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParamHeader {
    path: Vec<String>,
    header: String,
}

/// The protocol that a request speaks: what its `_meta` says, else its header.
pub(crate) fn era(envelope: &Envelope<'_>, headers: &HeaderMap) -> Result<Era, Refused> {
    let header = single(headers, PROTOCOL_VERSION)?;
    let version = envelope.meta_text(META_PROTOCOL_VERSION)?;
    if let Some(version) = &version
        && header != Some(version)
    {
        return Err(mismatch(format!("header {PROTOCOL_VERSION} must be {version:?}, as _meta says")));
    }
    let is_date = |version: &str| version.len() == 10 && version.starts_with("20");
    Ok(match version.as_deref().or(header) {
        Some(version) if is_date(version) && version >= STATELESS => Era::Stateless,
        _ => Era::Handshake,
    })
}

/// Refuses headers that say something else than the body. Without a handshake they must also be there.
pub(crate) fn check(
    envelope: &Envelope<'_>,
    headers: &HeaderMap,
    era: Era,
    params: &[ParamHeader],
) -> Result<(), Refused> {
    let required = era == Era::Stateless && envelope.method != "initialize";
    agree(headers, METHOD, Some(&envelope.method), required)?;
    if envelope.method == "tools/call" {
        agree(headers, NAME, envelope.name.as_deref(), required)?;
        for param in params {
            let value = envelope.primitive_argument(&param.path)?;
            agree(headers, &param.header, value.as_deref(), required)?;
        }
    }
    Ok(())
}

fn agree(headers: &HeaderMap, header: &str, body: Option<&str>, required: bool) -> Result<(), Refused> {
    match (single(headers, header)?, body) {
        (None, None) => Ok(()),
        (None, Some(_)) if !required => Ok(()),
        (None, Some(_)) => Err(mismatch(format!("header {header} is missing"))),
        (Some(_), None) => Err(mismatch(format!("header {header} is there, its value in the body is not"))),
        (Some(value), Some(body)) => match decode(value) {
            Some(value) if value == body => Ok(()),
            _ => Err(mismatch(format!("header {header} differs from the body"))),
        },
    }
}

/// The only value of a header; two, or one that is no ASCII, are refused.
fn single<'a>(headers: &'a HeaderMap, header: &str) -> Result<Option<&'a str>, Refused> {
    let mut values = headers.get_all(header).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(mismatch(format!("header {header} is there twice")));
    }
    value.to_str().map(Some).map_err(|_| mismatch(format!("header {header} is not ASCII")))
}

/// Undoes the `=?base64?…?=` form of values that are no plain header text.
fn decode(value: &str) -> Option<String> {
    match value.strip_prefix("=?base64?").and_then(|inner| inner.strip_suffix("?=")) {
        Some(inner) => String::from_utf8(STANDARD.decode(inner).ok()?).ok(),
        None => Some(value.to_owned()),
    }
}

const fn mismatch(message: String) -> Refused {
    Refused { code: HEADER_MISMATCH, message }
}

/// The arguments that a tool's input schema promotes to headers.
pub(crate) fn param_headers(schema: &Map<String, Value>) -> Vec<ParamHeader> {
    let mut found = Vec::new();
    collect(schema.get("properties"), &[], &mut found);
    found
}

fn collect(properties: Option<&Value>, path: &[String], found: &mut Vec<ParamHeader>) {
    for (name, schema) in properties.and_then(Value::as_object).into_iter().flatten() {
        let path = [path, std::slice::from_ref(name)].concat();
        if let Some(header) = schema.get("x-mcp-header").and_then(Value::as_str).filter(|header| !header.is_empty()) {
            found.push(ParamHeader { path: path.clone(), header: PARAM_PREFIX.to_owned() + &header.to_lowercase() });
        }
        collect(schema.get("properties"), &path, found);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(body: &Value, pairs: &[(&str, &str)], schema: &Value) -> Result<(), i32> {
        let body = body.to_string();
        let envelope = Envelope::parse(body.as_bytes()).expect("a message");
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name: http::HeaderName = name.parse().expect("a name");
            headers.append(name, value.parse().expect("a value"));
        }
        let params = param_headers(schema.as_object().expect("a schema"));
        let era = era(&envelope, &headers).map_err(|refused| refused.code)?;
        check(&envelope, &headers, era, &params).map_err(|refused| refused.code)
    }

    #[test]
    fn headers_must_say_what_the_body_says() {
        let call = |version: Option<&str>| {
            json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
                "name": "wf_run", "arguments": {"region": {"name": "größe"}, "n": 3},
                "_meta": version.map_or_else(|| json!({}), |version| json!({META_PROTOCOL_VERSION: version})),
            }})
        };
        let schema = json!({"properties": {
            "region": {"properties": {"name": {"x-mcp-header": "Region"}}},
            "n": {"x-mcp-header": "N"},
        }});
        let (old, new) = (call(None), call(Some("2026-07-28")));
        let encoded = format!("=?base64?{}?=", STANDARD.encode("größe"));
        let version = ("mcp-protocol-version", "2026-07-28");
        let full = [
            version,
            ("mcp-method", "tools/call"),
            ("mcp-name", "wf_run"),
            ("mcp-param-region", encoded.as_str()),
            ("mcp-param-n", "3"),
        ];
        assert_eq!(checked(&new, &full[1..], &schema), Err(HEADER_MISMATCH), "the version is missing in the header");
        let old_version = [&[("mcp-protocol-version", "2025-06-18")], &full[1..]].concat();
        assert_eq!(checked(&new, &old_version, &schema), Err(HEADER_MISMATCH), "the versions differ");
        assert_eq!(checked(&new, &full, &schema), Ok(()));
        assert_eq!(checked(&old, &[], &schema), Ok(()));
        assert_eq!(checked(&old, &[("mcp-name", "wf_list")], &schema), Err(HEADER_MISMATCH));
        assert_eq!(checked(&old, &[("mcp-method", "tools/list")], &schema), Err(HEADER_MISMATCH));
        for missing in 1..full.len() {
            let some: Vec<_> =
                full.iter().enumerate().filter(|(index, _)| *index != missing).map(|(_, pair)| *pair).collect();
            assert_eq!(checked(&new, &some, &schema), Err(HEADER_MISMATCH), "{}", full[missing].0);
            let twice = [&full[..], &full[missing..=missing]].concat();
            assert_eq!(checked(&new, &twice, &schema), Err(HEADER_MISMATCH));
        }
        let other = [&full[..4], &[("mcp-param-n", "4")]].concat();
        assert_eq!(checked(&new, &other, &schema), Err(HEADER_MISMATCH));
    }
}
