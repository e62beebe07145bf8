//! Reading objects under review, which are JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tentacular_contract::keys;

/// Labels or annotations.
pub(crate) type Texts<'a> = BTreeMap<&'a str, &'a str>;

/// Labels or annotations of the object; empty for what has none.
pub(crate) fn texts<'a>(object: Option<&'a Value>, member: &str) -> Texts<'a> {
    let members = object.and_then(|object| object.get("metadata")?.get(member)?.as_object());
    members.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?))).collect()
}

/// The release that the object belongs to.
pub(super) fn release(object: Option<&Value>) -> Option<&str> {
    object?.get("metadata")?.get("labels")?.get(keys::RELEASE)?.as_str()
}

/// A member of the object at a path such as `["spec", "replicas"]`; `null` where there is none.
pub(super) fn at<'a>(object: Option<&'a Value>, path: &[&str]) -> &'a Value {
    static NULL: Value = Value::Null;
    path.iter().fold(object.unwrap_or(&NULL), |value, key| value.get(key).unwrap_or(&NULL))
}

/// The names of the members that one of two JSON objects has.
pub(super) fn members<'a>(one: &'a Value, other: &'a Value) -> BTreeSet<&'a str> {
    let names = |value: &'a Value| value.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    names(one).chain(names(other)).collect()
}

/// A text as messages quote it: shortened, and without control characters.
pub(super) fn shown(text: &str) -> String {
    /// Longest value that a message quotes, in characters.
    const SHOWN: usize = 100;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
