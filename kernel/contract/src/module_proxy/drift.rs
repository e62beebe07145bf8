//! In what an object of the cluster differs from what was applied.

use serde_json::Value;

/// The fields of `wanted` that are otherwise in `live` or missing there, each as `path: "is" is to be "wanted"`. Fields that
/// only `live` has are no matter: Kubernetes fills in many.
///
/// Elements of a list are found by their `name`, else by their place.
pub fn drift(wanted: &Value, live: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", wanted, Some(live), &mut found);
    found
}

fn compare(path: &str, wanted: &Value, live: Option<&Value>, found: &mut Vec<String>) {
    match (wanted, live) {
        (Value::Object(members), Some(Value::Object(live))) => {
            for (key, wanted) in members {
                let dot = if path.is_empty() { "" } else { "." };
                compare(&format!("{path}{dot}{key}"), wanted, live.get(key), found);
            }
        }
        (Value::Array(wanted), Some(Value::Array(live))) => {
            for (index, wanted) in wanted.iter().enumerate() {
                let name = wanted.get("name").and_then(Value::as_str);
                let same = match name {
                    Some(name) => live.iter().find(|live| live["name"] == name),
                    None => live.get(index),
                };
                let element = name.map_or_else(|| index.to_string(), str::to_owned);
                compare(&format!("{path}[{element}]"), wanted, same, found);
            }
        }
        (wanted, Some(live)) if wanted == live => {}
        (wanted, Some(live)) => found.push(format!("{path}: {live} is to be {wanted}")),
        (wanted, None) => found.push(format!("{path} is missing, and is to be {wanted}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_as_wanted_is_no_drift_whatever_is_there_besides() {
        let wanted = json!({ "a": { "b": [{ "name": "x", "c": 1 }], "d": ["e"] } });
        let live =
            json!({ "a": { "b": [{ "name": "y" }, { "name": "x", "c": 1, "z": 2 }], "d": ["e", "f"] }, "s": 0 });
        assert!(drift(&wanted, &live).is_empty());
    }

    #[test]
    fn every_field_that_is_missing_or_otherwise_is_named() {
        let wanted = json!({ "a": "b", "c": { "d": 1 }, "e": [{ "name": "x", "f": true }], "g": ["h"], "i": {} });
        let live = json!({ "a": "z", "e": [{ "name": "y", "f": true }], "g": ["k"], "i": null });
        assert_eq!(
            drift(&wanted, &live),
            [
                r#"a: "z" is to be "b""#,
                r#"c is missing, and is to be {"d":1}"#,
                r#"e[x] is missing, and is to be {"f":true,"name":"x"}"#,
                r#"g[0]: "k" is to be "h""#,
                "i: null is to be {}",
            ]
        );
    }
}
