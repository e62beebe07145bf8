//! The strict parse of a JSON-RPC message: method, id, tool name, and the arguments that the kernel decides by.
//!
//! The bytes are forwarded as they came, so what the kernel reads must be what every parser behind it reads. Parsers
//! disagree on repeated member names (first or last wins) and on their case (Go matches them loosely): both are
//! refused in the envelope, in `params`, and along every pointer to a name that decides.

mod members;

use tentacular_contract::authz::pointer_members;

use self::members::{Members, fold};
use crate::json::{Extent, extent};

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
/// Values in one message. In memory a value may take a hundred times its text: 4 MiB of zeros would be some 360 MiB in a sidecar, and
/// this many are some 40 MiB.
const VALUES: usize = 200_000;

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
    pub id: Option<&'a str>,
    /// The method; empty in a response.
    pub method: String,
    /// `params.name`, where it is a string.
    pub name: Option<String>,
    /// `params.arguments`, as they were written.
    pub arguments: Option<&'a str>,
    /// `params._meta`, as it was written.
    pub meta: Option<&'a str>,
    /// Whether `params` holds nothing but `_meta`.
    pub bare: bool,
}

fn string(value: &str) -> Option<String> {
    serde_json::from_str(value).ok()
}

impl<'a> Envelope<'a> {
    /// Parses one message. Batches are refused in every version, also in 2025-03-26, which has them: what is decided and recorded of
    /// a call is of one message.
    pub fn parse(body: &'a [u8]) -> Result<Self, Refused> {
        let Extent { depth, values } = extent(body);
        if values > VALUES {
            let fix = "send less at once, or large data as text";
            return Err(invalid(format!("the body holds more than {VALUES} values; {fix}")));
        }
        let members = Members::of_message(body)?;
        if depth > DEPTH {
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
        let Some(params) = in_message("params")?.filter(|params| *params != "null") else {
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
            arguments: in_params("arguments")?.filter(|value| *value != "null"),
            meta: in_params("_meta")?,
            bare: params.0.iter().all(|(name, _)| name == "_meta"),
        })
    }

    /// The id of a message that [`Self::parse`] refuses, where it has one that can be told, so that its sender can match
    /// the refusal.
    pub fn id_of(body: &'a [u8]) -> Option<&'a str> {
        if extent(body).values > VALUES {
            return None;
        }
        let Members(members) = Members::read(str::from_utf8(body).ok()?)?;
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

    fn argument(&self, pointer: &str) -> Result<Option<&'a str>, Refused> {
        self.argument_at(pointer_members(pointer))
    }

    /// The argument at a path of member names, as it was written. Absent and `null` are the same.
    pub fn argument_at(&self, path: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Option<&'a str>, Refused> {
        let mut value = self.arguments;
        let mut place = "arguments".to_owned();
        for member in path {
            let Some(object) = value else { return Ok(None) };
            value = Members::parse(object, &place)?.get(member.as_ref(), &place)?;
            place = format!("{place}.{}", member.as_ref());
        }
        Ok(value.filter(|value| *value != "null"))
    }

    /// The values of members of `_meta`, as they were written.
    pub fn meta_values<const N: usize>(&self, names: [&str; N]) -> Result<[Option<&'a str>; N], Refused> {
        let mut values = [None; N];
        if let Some(meta) = self.meta.filter(|meta| *meta != "null") {
            let members = Members::parse(meta, "params._meta")?;
            for (value, name) in values.iter_mut().zip(names) {
                *value = members.get(name, "params._meta")?;
            }
        }
        Ok(values)
    }
}

/// `-0` is an integer to some parsers alone.
fn is_id(id: &str) -> bool {
    string(id).is_some() || (id != "-0" && id.parse::<i64>().is_ok())
}

#[cfg(test)]
mod tests;
