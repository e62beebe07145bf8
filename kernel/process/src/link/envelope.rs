//! The strict parse of a JSON-RPC message: method, id, tool name, and the arguments that the kernel decides by.
//!
//! The bytes are forwarded as they came, so what the kernel reads must be what every parser behind it reads. Parsers
//! disagree on repeated member names (first or last wins) and on their case (Go matches them loosely): both are
//! refused in the envelope, in `params`, and along every pointer to a name that decides.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use tentacular_contract::authz::pointer_members;

/// A message that is refused, in JSON-RPC terms.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// JSON-RPC error code.
    pub code: i32,
    /// What is wrong, for the sender.
    pub message: String,
}

/// JSON-RPC: not JSON.
pub const PARSE_ERROR: i32 = -32700;
/// JSON-RPC: no valid request.
pub const INVALID_REQUEST: i32 = -32600;
/// JSON-RPC: no such method.
pub const METHOD_NOT_FOUND: i32 = -32601;
/// JSON-RPC: invalid parameters.
pub const INVALID_PARAMS: i32 = -32602;
/// MCP: a header and the body differ.
pub const HEADER_MISMATCH: i32 = -32020;

/// Levels of nesting: as many as the parsers behind the kernel take.
const DEPTH: usize = 120;

fn invalid(message: impl Into<String>) -> Refused {
    Refused { code: INVALID_REQUEST, message: message.into() }
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It has an id and wants an answer.
    Request,
    /// It has no id.
    Notification,
    /// It answers something.
    Response,
}

/// A message, as far as the kernel looks into it.
#[derive(Debug)]
pub struct Envelope<'a> {
    /// Request, notification or response.
    pub kind: Kind,
    /// The id as it was written; absent in a notification.
    pub id: Option<&'a RawValue>,
    /// The method; empty in a response.
    pub method: String,
    /// `params.name`, where it is a string.
    pub name: Option<String>,
    /// `params.arguments`.
    pub arguments: Option<&'a RawValue>,
    /// `params._meta`.
    pub meta: Option<&'a RawValue>,
    /// `params.cursor`, where it is a string.
    pub cursor: Option<String>,
}

/// The members of one JSON object, in order, values unparsed.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    members.push((key, map.next_value::<&RawValue>().map_err(A::Error::custom)?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// How loosely matching parsers see a name: upper then lower case also unifies 'ſ' with 's' and 'K' (Kelvin) with 'k'.
fn fold(name: &str) -> String {
    name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

impl<'a> Members<'a> {
    fn parse(raw: &'a RawValue, what: &str) -> Result<Self, Refused> {
        serde_json::from_str(raw.get())
            .map_err(|_| Refused { code: INVALID_PARAMS, message: format!("{what} must be an object") })
    }

    /// The value of `name`; refuses it repeated or in another case.
    fn get(&self, name: &str, place: &str) -> Result<Option<&'a RawValue>, Refused> {
        let folded = fold(name);
        let mut found = None;
        for (key, value) in &self.0 {
            if key == name {
                if found.replace(*value).is_some() {
                    return Err(invalid(format!("member {name:?} stands twice in {place}")));
                }
            } else if fold(key) == folded {
                return Err(invalid(format!("member {key:?} in {place} differs from {name:?} in case alone")));
            }
        }
        Ok(found)
    }

    /// Refuses any two members whose names differ in case alone or not at all.
    fn refuse_lookalikes(&self, place: &str) -> Result<(), Refused> {
        let mut names: Vec<_> = self.0.iter().map(|(key, _)| fold(key)).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(invalid(format!("member {:?} stands twice in {place}, or in two spellings", pair[0]))),
            None => Ok(()),
        }
    }
}

fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

impl<'a> Envelope<'a> {
    /// Parses one message. Batches are refused: no protocol version that is served has them over HTTP.
    pub fn parse(body: &'a [u8]) -> Result<Self, Refused> {
        let whole: &RawValue = serde_json::from_slice(body)
            .map_err(|error| Refused { code: PARSE_ERROR, message: format!("the body is not JSON: {error}") })?;
        if is_deeper_than(body, DEPTH) {
            return Err(invalid(format!("the body is nested more than {DEPTH} levels deep")));
        }
        if !whole.get().trim_start().starts_with('{') {
            return Err(invalid("the body must be one JSON-RPC message, an object"));
        }
        let members = Members::parse(whole, "the message")?;
        members.refuse_lookalikes("the message")?;
        let in_message = |name| members.get(name, "the message");
        if in_message("jsonrpc")?.and_then(string).as_deref() != Some("2.0") {
            return Err(invalid("jsonrpc must be \"2.0\""));
        }
        let id = in_message("id")?;
        if id.is_some_and(|id| !is_id(id)) {
            return Err(invalid("id must be a string or an integer"));
        }
        let answers = in_message("result")?.is_some() || in_message("error")?.is_some();
        let method = match in_message("method")? {
            Some(method) => string(method).ok_or_else(|| invalid("method must be a string"))?,
            None if answers => {
                return Ok(Self { kind: Kind::Response, id, ..Self::empty() });
            }
            None => return Err(invalid("method is missing")),
        };
        let kind = if id.is_some() { Kind::Request } else { Kind::Notification };
        let Some(params) = in_message("params")?.filter(|params| params.get() != "null") else {
            return Ok(Self { kind, id, method, ..Self::empty() });
        };
        let params = Members::parse(params, "params")?;
        params.refuse_lookalikes("params")?;
        let in_params = |name| params.get(name, "params");
        Ok(Self {
            kind,
            id,
            method,
            name: in_params("name")?.and_then(string),
            arguments: in_params("arguments")?.filter(|value| value.get() != "null"),
            meta: in_params("_meta")?,
            cursor: in_params("cursor")?.and_then(string),
        })
    }

    /// The id of a message that [`Self::parse`] refuses, where it has one that can be told, so that its sender can match
    /// the refusal.
    pub fn id_of(body: &'a [u8]) -> Option<&'a RawValue> {
        let Members(members) = serde_json::from_slice(body).ok()?;
        let mut ids = members.into_iter().filter(|(name, _)| fold(name) == "id");
        let (_, id) = ids.next()?;
        (ids.next().is_none() && is_id(id)).then_some(id)
    }

    const fn empty() -> Self {
        Self {
            kind: Kind::Response,
            id: None,
            method: String::new(),
            name: None,
            arguments: None,
            meta: None,
            cursor: None,
        }
    }

    /// The text that `pointers` point to in the arguments. The first present one counts; two that differ, or one that
    /// is no text, are refused. Absent, `null` and empty are the same.
    pub fn text_at(&self, pointers: &[String]) -> Result<Option<String>, Refused> {
        let mut found: Option<(&str, String)> = None;
        for pointer in pointers {
            let Some(value) = self.argument(pointer)? else { continue };
            let text = string(value).ok_or_else(|| Refused {
                code: INVALID_PARAMS,
                message: format!("argument {} must be a string", pointer.trim_start_matches('/')),
            })?;
            if text.is_empty() {
                continue;
            }
            match &found {
                None => found = Some((pointer, text)),
                Some((_, first)) if *first == text => {}
                Some((other, _)) => {
                    let (other, this) = (other.trim_start_matches('/'), pointer.trim_start_matches('/'));
                    let message = format!("arguments {other} and {this} differ; give one of them");
                    return Err(Refused { code: INVALID_PARAMS, message });
                }
            }
        }
        Ok(found.map(|(_, text)| text))
    }

    fn argument(&self, pointer: &str) -> Result<Option<&'a RawValue>, Refused> {
        let mut value = self.arguments;
        let mut place = "arguments".to_owned();
        for member in pointer_members(pointer) {
            let Some(object) = value else { return Ok(None) };
            value = Members::parse(object, &place)?.get(&member, &place)?;
            place = format!("{place}.{member}");
        }
        Ok(value.filter(|value| value.get() != "null"))
    }

    /// The value of a member of `_meta`, where it is a string.
    pub fn meta_text(&self, name: &str) -> Result<Option<String>, Refused> {
        self.meta_value(name).map(|value| value.and_then(string))
    }

    /// The value of a member of `_meta`.
    pub fn meta_value(&self, name: &str) -> Result<Option<&'a RawValue>, Refused> {
        match self.meta.filter(|meta| meta.get() != "null") {
            Some(meta) => Members::parse(meta, "params._meta")?.get(name, "params._meta"),
            None => Ok(None),
        }
    }

    /// The argument at a path of member names, where it is a string, number or boolean: as `Mcp-Param-*` spells it.
    pub fn primitive_argument(&self, path: &[String]) -> Result<Option<String>, Refused> {
        let pointer = path
            .iter()
            .fold(String::new(), |pointer, member| pointer + "/" + &member.replace('~', "~0").replace('/', "~1"));
        Ok(self.argument(&pointer)?.and_then(|value| match serde_json::from_str(value.get()).ok()? {
            serde_json::Value::String(text) => Some(text),
            serde_json::Value::Bool(flag) => Some(flag.to_string()),
            serde_json::Value::Number(number) => Some(number.to_string()),
            _ => None,
        }))
    }
}

fn is_id(id: &RawValue) -> bool {
    string(id).is_some() || id.get().parse::<i64>().is_ok()
}

/// Whether JSON is nested deeper than `limit`. `body` is JSON.
fn is_deeper_than(body: &[u8], limit: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth -= 1,
            _ => {}
        }
        if depth > limit {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn call(arguments: &str) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"t","arguments":{arguments}}}}}"#)
    }

    fn at(arguments: &str, pointers: &[&str]) -> Result<Option<String>, i32> {
        let body = call(arguments);
        let pointers: Vec<_> = pointers.iter().map(|&pointer| pointer.to_owned()).collect();
        let envelope = Envelope::parse(body.as_bytes()).map_err(|refused| refused.code)?;
        envelope.text_at(&pointers).map_err(|refused| refused.code)
    }

    #[test]
    fn a_call_is_read() {
        let body = call(r#"{"enclave":"a"}"#);
        let envelope = Envelope::parse(body.as_bytes()).expect("a call");
        assert_eq!((envelope.kind, envelope.method.as_str()), (Kind::Request, "tools/call"));
        assert_eq!((envelope.id.map(RawValue::get), envelope.name.as_deref()), (Some("1"), Some("t")));
    }

    #[test]
    fn repeated_and_case_variant_members_are_refused_where_they_decide() {
        for body in [
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","Method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"Method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","m\u0065thod":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","NAME":"b"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"Name":"a"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","argumentſ":{}}}"#,
        ] {
            assert_eq!(Envelope::parse(body.as_bytes()).expect_err(body).code, INVALID_REQUEST, "{body}");
        }
        for arguments in [
            r#"{"enclave":"a","enclave":"b"}"#,
            r#"{"enclave":"a","Enclave":"b"}"#,
            r#"{"ENCLAVE":"b"}"#,
            r#"{"enclave":"a","encl\u0061ve":"b"}"#,
        ] {
            assert_eq!(at(arguments, &["/enclave"]), Err(INVALID_REQUEST), "{arguments}");
        }
        assert_eq!(at(r#"{"place":{"enclave":"a","enclavE":"b"}}"#, &["/place/enclave"]), Err(INVALID_REQUEST));
        assert_eq!(at(r#"{"place":{"enclave":"a"},"Place":1}"#, &["/place/enclave"]), Err(INVALID_REQUEST));
        // What decides nothing is the sidecar's own business.
        assert_eq!(at(r#"{"enclave":"a","x":1,"X":2,"x":3}"#, &["/enclave"]), Ok(Some("a".to_owned())));
    }

    #[test]
    fn the_first_present_pointer_counts_and_two_that_differ_are_refused() {
        let both = ["/enclave", "/namespace"];
        assert_eq!(at(r#"{"namespace":"b"}"#, &both), Ok(Some("b".to_owned())));
        assert_eq!(at(r#"{"enclave":"","namespace":"b"}"#, &both), Ok(Some("b".to_owned())));
        assert_eq!(at(r#"{"enclave":null,"namespace":"b"}"#, &both), Ok(Some("b".to_owned())));
        assert_eq!(at(r#"{"enclave":"b","namespace":"b"}"#, &both), Ok(Some("b".to_owned())));
        assert_eq!(at(r#"{"enclave":"a","namespace":"b"}"#, &both), Err(INVALID_PARAMS));
        assert_eq!(at(r#"{"enclave":7}"#, &both), Err(INVALID_PARAMS));
        assert_eq!(at("{}", &both), Ok(None));
        assert_eq!(at("[]", &both), Err(INVALID_PARAMS));
    }

    #[test]
    fn what_is_no_single_message_is_refused() {
        for body in [
            "",
            "x",
            "[]",
            "null",
            r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
            r#"{"id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping"} {"#,
            r#"{"jsonrpc":"2.0","id":"\ud800","method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":1,"x":2}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#,
        ] {
            assert!(Envelope::parse(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn a_body_that_no_parser_behind_takes_is_refused_here() {
        let nested = |levels: usize| call(&format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels)));
        assert!(Envelope::parse(nested(100).as_bytes()).is_ok());
        assert_eq!(Envelope::parse(nested(200_000).as_bytes()).expect_err("deep").code, INVALID_REQUEST);
        let brackets = call(r#"{"a":"[[[\"[[["}"#).replace("[[[", &"[".repeat(500));
        assert!(Envelope::parse(brackets.as_bytes()).is_ok(), "brackets in a text are no nesting");
    }

    #[test]
    fn a_refusal_can_be_matched_with_its_request() {
        let id = |body: &str| Envelope::id_of(body.as_bytes()).map(|id| id.get().to_owned());
        assert_eq!(id(r#"{"jsonrpc":"2.0","id":"a","method":1}"#).as_deref(), Some("\"a\""));
        for body in [r#"{"id":1,"id":2}"#, r#"{"id":1,"ID":2}"#, r#"{"id":null}"#, "[]", "{"] {
            assert_eq!(id(body), None, "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Envelope::parse(&body);
        }

        #[test]
        fn what_is_read_is_what_an_ordinary_parser_reads(enclave in "[a-zA-Z\\\\\"\u{0}-\u{1f}é]{0,12}") {
            let arguments = serde_json::json!({ "enclave": enclave, "other": [1, {"enclave": "z"}] });
            let expected = (!enclave.is_empty()).then_some(enclave);
            prop_assert_eq!(at(&arguments.to_string(), &["/enclave"]), Ok(expected));
        }
    }
}
