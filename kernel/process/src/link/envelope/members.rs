//! The members of a JSON object as they were written: repeated ones and look-alikes are seen.

use std::{borrow::Cow, error::Error};

use serde::{Deserialize, de::IgnoredAny};

use super::{INVALID_PARAMS, PARSE_ERROR, Refused, invalid};

/// Characters of a member's name that are told back.
const NAME_SHOWN: usize = 128;

/// The members of one JSON object, in order, values as they were written.
///
/// They are cut out of the text here and not by `serde_json`'s `RawValue`: with that feature its values read a member of a certain name,
/// anywhere, as JSON in a text, without a limit to how deep that goes, and so would every parser of every process.
pub(super) struct Members<'a>(pub(super) Vec<(Cow<'a, str>, &'a str)>);

/// A member's name, borrowed where it has no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// What JSON has between its tokens (RFC 8259 section 2).
const WHITESPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// The value that the text begins with, the text of it, and what follows.
fn first<'a, T: Deserialize<'a>>(text: &'a str) -> Option<(T, &'a str, &'a str)> {
    let text = text.trim_start_matches(WHITESPACE);
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<T>();
    let value = values.next()?.ok()?;
    let (written, rest) = text.split_at(values.byte_offset());
    Some((value, written, rest))
}

/// Whether loosely matching parsers take two names for the same.
fn look_alike(one: &str, other: &str) -> bool {
    if one.is_ascii() && other.is_ascii() { one.eq_ignore_ascii_case(other) } else { fold(one) == fold(other) }
}

/// How loosely matching parsers see a name: upper then lower case also unifies 'ſ' with 's' and 'K' (Kelvin) with 'k'.
pub(super) fn fold(name: &str) -> Cow<'_, str> {
    if name.is_ascii() {
        let upper = name.bytes().any(|byte| byte.is_ascii_uppercase());
        return if upper { name.to_ascii_lowercase().into() } else { name.into() };
    }
    name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

impl<'a> Members<'a> {
    /// The members of the object that the text is; none where it is something else, or no JSON.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let mut members = Vec::new();
        let mut rest = text.trim_start_matches(WHITESPACE).strip_prefix('{')?.trim_start_matches(WHITESPACE);
        while !(members.is_empty() && rest.starts_with('}')) {
            let (Name(name), _, after) = first(rest)?;
            let (IgnoredAny, value, after) = first(after.trim_start_matches(WHITESPACE).strip_prefix(':')?)?;
            members.push((name, value));
            rest = after.trim_start_matches(WHITESPACE);
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        rest.strip_prefix('}')?.trim_start_matches(WHITESPACE).is_empty().then_some(Self(members))
    }

    /// The members of a whole message.
    pub(super) fn of_message(body: &'a [u8]) -> Result<Self, Refused> {
        let unreadable =
            |error: &dyn Error| Refused { code: PARSE_ERROR, message: format!("the body is not JSON: {error}") };
        let text = str::from_utf8(body).map_err(|error| unreadable(&error))?;
        Self::read(text).ok_or_else(|| match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => invalid("the body must be one JSON-RPC message, an object"),
            Err(error) => unreadable(&error),
        })
    }

    pub(super) fn parse(text: &'a str, what: &str) -> Result<Self, Refused> {
        Self::read(text).ok_or_else(|| Refused { code: INVALID_PARAMS, message: format!("{what} must be an object") })
    }

    /// The value of `name`; refuses it repeated or in another case.
    pub(super) fn get(&self, name: &str, place: &str) -> Result<Option<&'a str>, Refused> {
        let mut found = None;
        for (key, value) in &self.0 {
            if key == name {
                if found.replace(*value).is_some() {
                    return Err(invalid(format!("member {name:?} stands twice in {place}")));
                }
            } else if look_alike(key, name) {
                return Err(invalid(format!(
                    "member {} in {place} differs from {name:?} in case alone",
                    quoted(key)
                )));
            }
        }
        Ok(found)
    }

    /// Refuses any two members whose names differ in case alone or not at all.
    pub(super) fn refuse_lookalikes(&self, place: &str) -> Result<(), Refused> {
        let mut names: Vec<_> = self.0.iter().map(|(key, _)| fold(key)).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => {
                let name = quoted(&pair[0]);
                Err(invalid(format!("member {name} stands twice in {place}, or in two spellings")))
            }
            None => Ok(()),
        }
    }
}

/// How a refusal names a member that may have any name.
fn quoted(name: &str) -> String {
    let shown: String = name.chars().take(NAME_SHOWN).collect();
    format!("{shown:?}")
}
