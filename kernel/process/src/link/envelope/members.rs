//! The members of a JSON object as they were written: repeated ones and look-alikes are seen.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{INVALID_PARAMS, PARSE_ERROR, Refused, invalid};

/// Characters of a member's name that are told back.
const NAME_SHOWN: usize = 128;

/// The members of one JSON object, in order, values unparsed.
pub(super) struct Members<'a>(pub(super) Vec<(Cow<'a, str>, &'a RawValue)>);

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
pub(super) fn fold(name: &str) -> Cow<'_, str> {
    if name.is_ascii() {
        let upper = name.bytes().any(|byte| byte.is_ascii_uppercase());
        return if upper { name.to_ascii_lowercase().into() } else { name.into() };
    }
    name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

impl<'a> Members<'a> {
    /// The members of a whole message.
    pub(super) fn of_message(body: &'a [u8]) -> Result<Self, Refused> {
        serde_json::from_slice(body).map_err(|_| match serde_json::from_slice::<&RawValue>(body) {
            Ok(_) => invalid("the body must be one JSON-RPC message, an object"),
            Err(error) => Refused { code: PARSE_ERROR, message: format!("the body is not JSON: {error}") },
        })
    }

    pub(super) fn parse(raw: &'a RawValue, what: &str) -> Result<Self, Refused> {
        serde_json::from_str(raw.get())
            .map_err(|_| Refused { code: INVALID_PARAMS, message: format!("{what} must be an object") })
    }

    /// The value of `name`; refuses it repeated or in another case.
    pub(super) fn get(&self, name: &str, place: &str) -> Result<Option<&'a RawValue>, Refused> {
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
