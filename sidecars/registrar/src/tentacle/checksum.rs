//! The checksum of what a Deployment's pods read, on its pod template: when only a `ConfigMap` or Secret changed, the
//! template changes with it and the pods roll.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tentacular_cluster::Kind;

use super::manifest::Manifest;

/// The checksum over those of `manifests` whose kind and name are in `read`, or `None` when there are none.
///
/// A Secret's uid goes into it. Whoever can read the Deployment could otherwise find out a short secret by trying values;
/// the uid is random and only seen by those who may read the Secret.
pub(crate) fn of<'a>(
    manifests: impl Iterator<Item = &'a Manifest>,
    read: &[(String, String)],
    uid: impl Fn(&Manifest) -> Option<&'a str>,
) -> Option<String> {
    let is_read = |manifest: &&Manifest| {
        let named = |(kind, name): &(String, String)| kind == manifest.kind.as_str() && *name == manifest.name;
        matches!(manifest.kind, Kind::ConfigMap | Kind::Secret) && read.iter().any(named)
    };
    let mut manifests: Vec<_> = manifests.filter(is_read).collect();
    // In whatever order they were given.
    manifests.sort_by_key(|manifest| (manifest.kind, &manifest.name));
    let mut digest = Sha256::new();
    for manifest in &manifests {
        let salt = if manifest.kind == Kind::Secret { uid(manifest) } else { None };
        // By length, so that no two different lists of parts run together to the same bytes.
        for part in [manifest.kind.as_str(), &manifest.name, salt.unwrap_or_default(), &content(&manifest.body)] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
    }
    (!manifests.is_empty()).then(|| hex::encode(&digest.finalize()[..16]))
}

/// What pods see of it, in an order of its own.
fn content(body: &Value) -> String {
    let members = ["data", "binaryData"].map(|member| {
        let data = body.get(member).and_then(Value::as_object);
        data.into_iter().flatten().collect::<BTreeMap<_, _>>()
    });
    serde_json::to_string(&members).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn manifest(kind: Kind, name: &str, value: &str) -> Manifest {
        Manifest { kind, name: name.to_owned(), body: json!({ "data": { "k": value } }) }
    }

    fn checksum(manifests: &[Manifest], uid: &'static str) -> Option<String> {
        let read = [("ConfigMap", "code"), ("Secret", "s")].map(|(kind, name)| (kind.to_owned(), name.to_owned()));
        of(manifests.iter(), &read, |_| Some(uid))
    }

    #[test]
    fn it_changes_with_what_pods_read_and_with_nothing_else() {
        let base = || vec![manifest(Kind::ConfigMap, "code", "1"), manifest(Kind::Secret, "s", "1")];
        let first = checksum(&base(), "u");
        assert!(first.as_ref().is_some_and(|text| text.len() == 32), "{first:?}");
        let with = |manifest: Manifest| {
            let mut manifests = base();
            manifests.retain(|other| (other.kind, &other.name) != (manifest.kind, &manifest.name));
            manifests.push(manifest);
            checksum(&manifests, "u")
        };
        assert_eq!(with(manifest(Kind::ConfigMap, "readme", "2")), first);
        let turned: Vec<_> = base().into_iter().rev().collect();
        assert_eq!(checksum(&turned, "u"), first, "the order in which they are given is none of it");
        assert_ne!(with(manifest(Kind::ConfigMap, "code", "2")), first);
        assert_ne!(with(manifest(Kind::Secret, "s", "2")), first);
        assert_eq!(checksum(&[manifest(Kind::ConfigMap, "readme", "1")], "u"), None);
    }

    #[test]
    fn a_secret_cannot_be_found_out_by_trying_without_its_uid() {
        let secret = [manifest(Kind::Secret, "s", "1")];
        assert_ne!(checksum(&secret, "u"), checksum(&secret, "v"));
        let map = [manifest(Kind::ConfigMap, "code", "1")];
        assert_eq!(checksum(&map, "u"), checksum(&map, "v"));
    }
}
