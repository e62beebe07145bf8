//! The strict parse of a JSON-RPC message: method, id, tool name, and the arguments that the kernel decides by.
//!
//! The bytes are forwarded as they came, so what the kernel reads must be what every parser behind it reads. Parsers
//! disagree on repeated member names (first or last wins) and on their case (Go matches them loosely): both are
//! refused in the envelope, in `params`, and along every pointer to a name that decides.

use std::{borrow::Cow, fmt};

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
    /// Whether `params` holds nothing but `_meta`.
    pub bare: bool,
}

/// The members of one JSON object, in order, values unparsed.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// A member's name, borrowed where it has no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

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
                while let Some(Name(key)) = map.next_key::<Name<'de>>()? {
                    members.push((key, map.next_value::<&RawValue>().map_err(A::Error::custom)?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// Whether loosely matching parsers take two names for the same.
fn look_alike(one: &str, other: &str) -> bool {
    if one.is_ascii() && other.is_ascii() { one.eq_ignore_ascii_case(other) } else { fold(one) == fold(other) }
}

/// How loosely matching parsers see a name: upper then lower case also unifies 'ſ' with 's' and 'K' (Kelvin) with 'k'.
fn fold(name: &str) -> Cow<'_, str> {
    if name.is_ascii() {
        let upper = name.bytes().any(|byte| byte.is_ascii_uppercase());
        return if upper { name.to_ascii_lowercase().into() } else { name.into() };
    }
    name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

impl<'a> Members<'a> {
    /// The members of a whole message.
    fn of_message(body: &'a [u8]) -> Result<Self, Refused> {
        serde_json::from_slice(body).map_err(|_| match serde_json::from_slice::<&RawValue>(body) {
            Ok(_) => invalid("the body must be one JSON-RPC message, an object"),
            Err(error) => Refused { code: PARSE_ERROR, message: format!("the body is not JSON: {error}") },
        })
    }

    fn parse(raw: &'a RawValue, what: &str) -> Result<Self, Refused> {
        serde_json::from_str(raw.get())
            .map_err(|_| Refused { code: INVALID_PARAMS, message: format!("{what} must be an object") })
    }

    /// The value of `name`; refuses it repeated or in another case.
    fn get(&self, name: &str, place: &str) -> Result<Option<&'a RawValue>, Refused> {
        let mut found = None;
        for (key, value) in &self.0 {
            if key == name {
                if found.replace(*value).is_some() {
                    return Err(invalid(format!("member {name:?} stands twice in {place}")));
                }
            } else if look_alike(key, name) {
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
        let members = Members::of_message(body)?;
        if is_deeper_than(body, DEPTH) {
            return Err(invalid(format!("the body is nested more than {DEPTH} levels deep")));
        }
        members.refuse_lookalikes("the message")?;
        let in_message = |name| members.get(name, "the message");
        if in_message("jsonrpc")?.and_then(string).as_deref() != Some("2.0") {
            return Err(invalid("jsonrpc must be \"2.0\""));
        }
        let id = in_message("id")?;
        if id.is_some_and(|id| !is_id(id)) {
            return Err(invalid("id must be a string or an integer of 64 bits"));
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
            bare: params.0.iter().all(|(name, _)| name == "_meta"),
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
            bare: true,
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
        self.argument_at(pointer_members(pointer))
    }

    /// The argument at a path of member names. Absent and `null` are the same.
    pub fn argument_at(
        &self,
        path: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Option<&'a RawValue>, Refused> {
        let mut value = self.arguments;
        let mut place = "arguments".to_owned();
        for member in path {
            let Some(object) = value else { return Ok(None) };
            value = Members::parse(object, &place)?.get(member.as_ref(), &place)?;
            place = format!("{place}.{}", member.as_ref());
        }
        Ok(value.filter(|value| value.get() != "null"))
    }

    /// The values of members of `_meta`.
    pub fn meta_values<const N: usize>(&self, names: [&str; N]) -> Result<[Option<&'a RawValue>; N], Refused> {
        let mut values = [None; N];
        if let Some(meta) = self.meta.filter(|meta| meta.get() != "null") {
            let members = Members::parse(meta, "params._meta")?;
            for (value, name) in values.iter_mut().zip(names) {
                *value = members.get(name, "params._meta")?;
            }
        }
        Ok(values)
    }
}

/// `-0` is an integer to some parsers alone.
fn is_id(id: &RawValue) -> bool {
    string(id).is_some() || (id.get() != "-0" && id.get().parse::<i64>().is_ok())
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
mod tests;
