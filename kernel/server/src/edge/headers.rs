//! The headers that repeat what the body says (`Mcp-Method`, `Mcp-Name`, `Mcp-Param-*`): intermediaries route by them,
//! so they must agree with what is executed (MCP 2026-07-28, Streamable HTTP, SEP-2243).

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName};
use serde_json::{Map, Value};
use tentacular_process::link::envelope::{Envelope, HEADER_MISMATCH, Refused};

use super::version::Era;

const METHOD: &str = "mcp-method";
const NAME: &str = "mcp-name";
const PARAM_PREFIX: &str = "mcp-param-";

/// An argument that a tool's schema promotes to a header (`x-mcp-header`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParamHeader {
    path: Vec<String>,
    name: HeaderName,
}

impl ParamHeader {
    pub(crate) const fn name(&self) -> &HeaderName {
        &self.name
    }
}

/// Refuses headers that say something else than the body. Without a handshake they must also be there.
pub(crate) fn check(
    envelope: &Envelope<'_>,
    headers: &HeaderMap,
    era: Era,
    params: &[ParamHeader],
) -> Result<(), Refused> {
    let required = era == Era::Stateless;
    agree(headers, METHOD, Some(&envelope.method), required, |value| value == envelope.method)?;
    if envelope.method == "tools/call" {
        let name = envelope.name.as_deref();
        agree(headers, NAME, name, required, |value| decode(value).as_deref() == name)?;
        for param in params {
            let value = envelope.argument_at(&param.path)?.filter(|value| is_primitive(value));
            agree(headers, param.name.as_str(), value, required, |header| {
                value.is_some_and(|value| says(header, value))
            })?;
        }
    }
    Ok(())
}

fn agree<T>(
    headers: &HeaderMap,
    header: &str,
    body: Option<T>,
    required: bool,
    same: impl FnOnce(&str) -> bool,
) -> Result<(), Refused> {
    match (single(headers, header)?, body) {
        (None, Some(_)) if required => Err(mismatch(format!("header {header} is missing"))),
        (None, _) => Ok(()),
        (Some(_), None) => Err(mismatch(format!("header {header} is there, its value in the body is not"))),
        (Some(value), Some(_)) if same(value) => Ok(()),
        (Some(_), Some(_)) => Err(mismatch(format!("header {header} differs from the body"))),
    }
}

fn is_primitive(value: &str) -> bool {
    !value.starts_with(['{', '['])
}

/// Whether a header says what a primitive argument is. Integers are compared as numbers: parsers disagree on whether
/// `42.0` is one.
fn says(header: &str, argument: &str) -> bool {
    match argument.bytes().next() {
        Some(b'"') => decode(header).is_some_and(|header| text(argument).as_deref() == Some(&header)),
        Some(b't' | b'f') => header == argument,
        _ => header == argument || integer(header).is_some_and(|number| integer(argument) == Some(number)),
    }
}

fn integer(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_zero = !fraction.is_empty() && fraction.bytes().all(|digit| digit == b'0');
    whole.parse().ok().filter(|_| is_zero)
}

fn text(value: &str) -> Option<String> {
    serde_json::from_str(value).ok()
}

/// The only value of a header; two, or one that is no ASCII, are refused.
pub(super) fn single<'a>(headers: &'a HeaderMap, header: &str) -> Result<Option<&'a str>, Refused> {
    let mut values = headers.get_all(header).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(mismatch(format!("header {header} is there twice")));
    }
    value.to_str().map(Some).map_err(|_| mismatch(format!("header {header} is not ASCII")))
}

/// Undoes the `=?base64?…?=` form of values that are no plain header text.
fn decode(value: &str) -> Option<Cow<'_, str>> {
    match value.strip_prefix("=?base64?").and_then(|inner| inner.strip_suffix("?=")) {
        Some(inner) => String::from_utf8(STANDARD.decode(inner).ok()?).ok().map(Cow::Owned),
        None => Some(Cow::Borrowed(value)),
    }
}

pub(super) const fn mismatch(message: String) -> Refused {
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
        let header = schema.get("x-mcp-header").and_then(Value::as_str).filter(|header| !header.is_empty());
        // What is no header's name can be in no request.
        if let Some(name) = header.and_then(|header| (PARAM_PREFIX.to_owned() + header).parse().ok()) {
            found.push(ParamHeader { path: path.clone(), name });
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
            let name: HeaderName = name.parse().expect("a name");
            headers.append(name, value.parse().expect("a value"));
        }
        let params = param_headers(schema.as_object().expect("a schema"));
        let era = Era::of(&envelope, &headers);
        check(&envelope, &headers, era, &params).map_err(|refused| refused.code)
    }

    fn call(arguments: &Value) -> Value {
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "wf_run", "arguments": arguments}})
    }

    #[test]
    fn headers_must_say_what_the_body_says() {
        let arguments = json!({"region": {"name": "größe"}, "n": 3});
        let schema = json!({"properties": {
            "region": {"properties": {"name": {"x-mcp-header": "Region"}}},
            "n": {"x-mcp-header": "N"},
        }});
        let call = call(&arguments);
        let encoded = format!("=?base64?{}?=", STANDARD.encode("größe"));
        let version = ("mcp-protocol-version", "2026-07-28");
        let full = [
            version,
            ("mcp-method", "tools/call"),
            ("mcp-name", "wf_run"),
            ("mcp-param-region", encoded.as_str()),
            ("mcp-param-n", "3"),
        ];
        assert_eq!(checked(&call, &full, &schema), Ok(()));
        assert_eq!(checked(&call, &[], &schema), Ok(()));
        assert_eq!(checked(&call, &[("mcp-name", "wf_list")], &schema), Err(HEADER_MISMATCH));
        assert_eq!(checked(&call, &[("mcp-method", "tools/list")], &schema), Err(HEADER_MISMATCH));
        for missing in 1..full.len() {
            let some: Vec<_> =
                full.iter().enumerate().filter(|(index, _)| *index != missing).map(|(_, pair)| *pair).collect();
            assert_eq!(checked(&call, &some, &schema), Err(HEADER_MISMATCH), "{}", full[missing].0);
            let twice = [&full[..], &full[missing..=missing]].concat();
            assert_eq!(checked(&call, &twice, &schema), Err(HEADER_MISMATCH), "{} twice", full[missing].0);
        }
        let other = [&full[..4], &[("mcp-param-n", "4")]].concat();
        assert_eq!(checked(&call, &other, &schema), Err(HEADER_MISMATCH));
        let method = format!("=?base64?{}?=", STANDARD.encode("tools/call"));
        let encoded_method = [&full[..1], &[("mcp-method", &method)], &full[2..]].concat();
        assert_eq!(checked(&call, &encoded_method, &schema), Err(HEADER_MISMATCH), "a method is never encoded");
    }

    #[test]
    fn integers_are_compared_as_numbers_and_nothing_else_is() {
        let schema = json!({"properties": {"x": {"x-mcp-header": "X"}}});
        let agrees = |argument: &str, header: &str| {
            let body = call(&json!({"x": 0})).to_string().replace("{\"x\":0}", &format!("{{\"x\":{argument}}}"));
            let envelope = Envelope::parse(body.as_bytes()).expect("a message");
            let params = param_headers(schema.as_object().expect("a schema"));
            let headers = HeaderMap::from_iter([(params[0].name.clone(), header.parse().expect("a value"))]);
            check(&envelope, &headers, Era::Handshake, &params).is_ok()
        };
        for (argument, header) in [
            ("42", "42"),
            ("42", "42.0"),
            ("42.00", "42"),
            ("-7", "-7.0"),
            ("true", "true"),
            ("\"42\"", "42"),
            ("1.5", "1.5"),
            ("1e400", "1e400"),
        ] {
            assert!(agrees(argument, header), "{argument} {header}");
        }
        for (argument, header) in [
            ("42", "43"),
            ("42", "42.5"),
            ("42", "42."),
            ("\"42\"", "42.0"),
            ("true", "True"),
            ("9007199254740993", "9007199254740992"),
            ("1.5", "1.50"),
            ("{}", "{}"),
            ("null", "null"),
        ] {
            assert!(!agrees(argument, header), "{argument} {header}");
        }
    }
}
