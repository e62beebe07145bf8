//! What would change in an object, field by field.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use tentacular_cluster::{Kind, Object};

use super::{effect::content, typed::member};

/// Fields of one object that are shown.
const SHOWN: usize = 100;
/// Characters of a value that are shown.
const CHARACTERS: usize = 200;
/// What stands for a value of a Secret.
const WITHHELD: &str = "(withheld)";

/// A field that would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Difference {
    /// Path of the field; members of a list of named things, such as containers, by their name.
    field: String,
    /// What is there, cut to 200 characters; absent when the field would be new. Never a value of a Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    /// What would be there, cut and withheld in the same way; absent when the field would go.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<String>,
}

/// The fields in which `after` differs from `before`, at most 100, and how many more there are.
pub(crate) fn between(kind: Kind, before: &Object, after: &Object) -> (Vec<Difference>, usize) {
    let mut found = Vec::new();
    let (before, after) = (content(before), content(after));
    compare("", Some(&before), Some(&after), &mut found);
    let more = found.len().saturating_sub(SHOWN);
    found.truncate(SHOWN);
    for difference in &mut found {
        // Its annotations too: client-side kubectl keeps a whole copy there.
        if kind == Kind::Secret && !difference.field.starts_with("metadata.labels") {
            difference.before = difference.before.take().map(|_| WITHHELD.to_owned());
            difference.after = difference.after.take().map(|_| WITHHELD.to_owned());
        }
    }
    (found, more)
}

fn compare(path: &str, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Difference>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Some(Value::Object(one)), Some(Value::Object(other))) => {
            let keys: BTreeSet<_> = one.keys().chain(other.keys()).collect();
            for key in keys {
                compare(&member(path, key), one.get(key), other.get(key), found);
            }
        }
        (Some(Value::Array(one)), Some(Value::Array(other))) => {
            if let (Some(one_named), Some(other_named)) = (named(one), named(other)) {
                let (all, told): (BTreeSet<_>, _) =
                    (one_named.keys().chain(other_named.keys()).collect(), found.len());
                for name in all {
                    let (one, other) = (one_named.get(name).copied(), other_named.get(name).copied());
                    compare(&format!("{path}[{name}]"), one, other, found);
                }
                // The same things in another order.
                if found.len() == told {
                    found.push(difference(path, before, after));
                }
            } else {
                for index in 0..one.len().max(other.len()) {
                    compare(&format!("{path}[{index}]"), one.get(index), other.get(index), found);
                }
            }
        }
        (before, after) => found.push(difference(path, before, after)),
    }
}

/// A list's items by their names, when each has one of its own.
fn named(list: &[Value]) -> Option<BTreeMap<&str, &Value>> {
    let named = list.iter().map(|item| Some((item.get("name")?.as_str()?, item)));
    let named: BTreeMap<_, _> = named.collect::<Option<_>>()?;
    (named.len() == list.len()).then_some(named)
}

fn difference(path: &str, before: Option<&Value>, after: Option<&Value>) -> Difference {
    let text = |value: &Value| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match text.char_indices().nth(CHARACTERS) {
            Some((end, _)) => format!("{}… ({} characters)", &text[..end], text.chars().count()),
            None => text,
        }
    };
    // `null` says as much as nothing.
    let present = |value: Option<&Value>| value.filter(|value| !value.is_null()).map(text);
    Difference { field: path.to_owned(), before: present(before), after: present(after) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(more: &Value) -> Object {
        let mut object = json!({ "metadata": { "name": "a" } });
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(object).unwrap()
    }

    fn between(kind: Kind, before: &Value, after: &Value) -> Vec<String> {
        let (found, _) = super::between(kind, &object(before), &object(after));
        let text = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        found.into_iter().map(|one| format!("{}: {} > {}", one.field, text(one.before), text(one.after))).collect()
    }

    #[test]
    fn each_field_is_told_with_what_was_and_what_will_be() {
        let spec = |image: &str, more: Value| {
            let containers = json!([{ "name": "side", "image": "s" }, { "name": "engine", "image": image }]);
            let mut spec = json!({ "spec": { "replicas": 1, "containers": containers } });
            spec["spec"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            spec
        };
        assert_eq!(
            between(
                Kind::Deployment,
                &spec("i:1", json!({ "paused": true })),
                &spec("i:2", json!({ "args": ["x"] }))
            ),
            ["spec.args: - > [\"x\"]", "spec.containers[engine].image: i:1 > i:2", "spec.paused: true > -",]
        );
        let labels = |value: &str| json!({ "metadata": { "name": "a", "labels": { "x.io/y": value } } });
        assert_eq!(between(Kind::Service, &labels("1"), &labels("2")), ["metadata.labels[\"x.io/y\"]: 1 > 2"]);
    }

    #[test]
    fn named_things_are_compared_by_name_however_many_there_are() {
        let list = |range: &mut dyn Iterator<Item = u32>| -> Value {
            json!({ "spec": { "env": range.map(|n| json!({ "name": format!("v{n}") })).collect::<Value>() } })
        };
        let (few, turned) = (list(&mut (0..2)), list(&mut (0..2).rev()));
        let order = r#"spec.env: [{"name":"v0"},{"name":"v1"}] > [{"name":"v1"},{"name":"v0"}]"#;
        assert_eq!(between(Kind::Deployment, &few, &turned), [order]);
        // More than an object has room for; to look each of them up in a list would take minutes.
        let (many, more) = (list(&mut (0..100_000)), list(&mut (1..100_001).rev()));
        let ends = ["spec.env[v0]: {\"name\":\"v0\"} > -", "spec.env[v100000]: - > {\"name\":\"v100000\"}"];
        assert_eq!(between(Kind::Deployment, &many, &more), ends);
    }

    #[test]
    fn no_value_of_a_secret_is_shown_and_long_ones_are_cut() {
        let data = |value: &str| json!({ "data": { "k": value } });
        assert_eq!(
            between(Kind::Secret, &data("aHVudGVyMg=="), &data("c2VjcmV0")),
            ["data.k: (withheld) > (withheld)"]
        );
        let found = between(Kind::ConfigMap, &data(&"ä".repeat(300)), &json!({}));
        assert_eq!(found.len(), 1, "{found:?}");
        let many: serde_json::Map<_, _> = (0..250).map(|n| (format!("k{n}"), json!("v"))).collect();
        let (shown, more) =
            super::between(Kind::ConfigMap, &object(&json!({ "data": {} })), &object(&json!({ "data": many })));
        assert_eq!((shown.len(), more), (100, 150));
    }
}
