//! What a release consists of, written on its Deployment: whoever may read the tentacle sees its Secrets' names there, on
//! which readers have no right themselves.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tentacular_cluster::Kind;

use super::manifest::Manifest;

/// The longest inventory that is written, in bytes: Kubernetes allows 256 KiB of annotations an object. A longer one goes
/// without the keys of Secrets.
const BYTES: usize = 64 * 1024;

/// The objects of `manifests`, and `kept` beside them (kind and name), as a JSON list: `kind`, `name`, and of a Secret
/// the names of its `keys`, never a value.
pub(crate) fn of(manifests: &[&Manifest], kept: &[(Kind, String)]) -> String {
    let list = |keys: bool| {
        let applied = manifests.iter().map(|manifest| {
            let keys = (keys && manifest.kind == Kind::Secret).then(|| key_names(&manifest.body));
            ((manifest.kind, manifest.name.as_str()), keys)
        });
        let kept = kept.iter().map(|(kind, name)| ((*kind, name.as_str()), None));
        // In one order, whichever of the two an object is among.
        let all: BTreeMap<_, _> = applied.chain(kept).collect();
        let entries = all.into_iter().map(|((kind, name), keys)| {
            let mut entry = json!({ "kind": kind.as_str(), "name": name });
            if let Some(keys) = keys {
                entry["keys"] = keys;
            }
            entry
        });
        entries.collect::<Value>().to_string()
    };
    let whole = list(true);
    if whole.len() <= BYTES { whole } else { list(false) }
}

fn key_names(secret: &Value) -> Value {
    let data = secret.get("data").and_then(Value::as_object);
    data.into_iter().flat_map(|data| data.keys().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(data: &Value) -> Manifest {
        Manifest { kind: Kind::Secret, name: "s".to_owned(), body: json!({ "data": data }) }
    }

    #[test]
    fn names_are_listed_and_no_value() {
        let map = Manifest { kind: Kind::ConfigMap, name: "c".to_owned(), body: json!({ "data": { "k": "v" } }) };
        let manifests = [map, secret(&json!({ "token": "aHVudGVyMg==" }))];
        let kept = [(Kind::PersistentVolumeClaim, "data".to_owned())];
        assert_eq!(
            of(&manifests.iter().collect::<Vec<_>>(), &kept),
            r#"[{"kind":"ConfigMap","name":"c"},{"keys":["token"],"kind":"Secret","name":"s"},"#.to_owned()
                + r#"{"kind":"PersistentVolumeClaim","name":"data"}]"#
        );
    }

    #[test]
    fn an_inventory_too_long_for_an_annotation_goes_without_keys() {
        let keys: serde_json::Map<_, _> = (0..10_000).map(|n| (format!("key-{n}"), json!(""))).collect();
        let manifests = [secret(&Value::Object(keys))];
        assert_eq!(of(&manifests.iter().collect::<Vec<_>>(), &[]), r#"[{"kind":"Secret","name":"s"}]"#);
    }
}
