//! Completing the contract in a tentacle's `workflow.yaml` by what its dependencies on backing services turned out to be.
//!
//! The file stays as its author wrote it, comments and order included. What an edit made of it is read again and compared with
//! what it was to become: nothing else in it may mean anything else.

use std::str::FromStr as _;

use serde_json::{Map, Value};
use tentacular_contract::workflow;
use yaml_edit::{Document, Mapping, MappingBuilder};

use super::{PREFIX, share::Share};

/// The file with the shares in its contract. The error says of which dependency it cannot be.
pub(super) fn complete(file: &str, shares: &[Share]) -> Result<String, String> {
    let mut wanted = workflow::json(file).map_err(|error| error.to_string())?;
    let mut text = file.to_owned();
    for share in shares {
        let name = format!("{PREFIX}{}", share.service.as_str());
        let before =
            wanted.pointer("/contract/dependencies").and_then(|dependencies| dependencies.get(&name)).cloned();
        // A tentacle keeps what it has of a service that it does not ask for any more.
        let Some(before) = before else { continue };
        let place = || format!("contract.dependencies.{name}");
        merge(&mut wanted, &name, share)
            .ok_or_else(|| format!("{}: it is no mapping; leave its value out", place()))?;
        if wanted["contract"]["dependencies"][&name] == before {
            continue;
        }
        let edited = edit(&text, &name, share).filter(|text| workflow::json(text).is_ok_and(|now| now == wanted));
        text = edited.ok_or_else(|| {
            format!(
                "{}: what the server knows of it cannot be added without changing something else; write it out plainly, \
                 without anchors and aliases",
                place()
            )
        })?;
    }
    Ok(text)
}

/// What the file is to mean.
fn merge(file: &mut Value, name: &str, share: &Share) -> Option<()> {
    let dependency = file.get_mut("contract")?.get_mut("dependencies")?.get_mut(name)?;
    if dependency.is_null() {
        *dependency = Value::Object(Map::new());
    }
    dependency.as_object_mut()?.extend(share.contract.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    Some(())
}

fn edit(file: &str, name: &str, share: &Share) -> Option<String> {
    let document = Document::from_str(file).ok()?;
    let dependencies = document.as_mapping()?.get_mapping("contract")?.get_mapping("dependencies")?;
    if dependencies.get_mapping(name).is_none() {
        dependencies.set(name, empty()?);
    }
    let dependency = dependencies.get_mapping(name)?;
    for (key, value) in &share.contract {
        match value {
            Value::Object(members) => {
                let members = members.iter().map(|(key, value)| Some((key.as_str(), value.as_str()?)));
                let built = members.collect::<Option<Vec<_>>>()?.into_iter();
                let built = built.fold(MappingBuilder::new(), |built, (key, value)| built.pair(key, value));
                dependency.set(*key, built.build_document().as_mapping()?);
            }
            value => dependency.set(*key, value.as_str()?),
        }
    }
    Some(document.to_string())
}

fn empty() -> Option<Mapping> {
    MappingBuilder::new().build_document().as_mapping()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tentacular_contract::backing::Service;

    use super::{
        super::{
            network::Whereabouts,
            share::{Endpoint, Fields},
        },
        *,
    };

    fn share(contract: Vec<(&'static str, Value)>) -> Share {
        let endpoint = Endpoint { host: "db".to_owned(), port: 5432 };
        let (whereabouts, fields) = (Whereabouts::default(), Fields::new());
        Share { service: Service::Postgres, endpoint, whereabouts, fields, contract, fresh: true }
    }

    fn completed(file: &str) -> Result<String, String> {
        let auth = json!({ "type": "password", "secret": "tentacular-postgres.password" });
        complete(file, &[share(vec![("host", json!("db")), ("port", json!("5432")), ("auth", auth)])])
    }

    #[test]
    fn comments_order_and_spelling_of_the_file_stay() {
        let file = "name: x # why\ncontract:\n  version: \"1\"\n  dependencies:\n    # rows\n    tentacular-postgres:\n      \
                    protocol: postgresql # p\n      host: old # h\n\n    # another\n    api: {host: h, port: 443}\nnodes: {}\n";
        let expected = "name: x # why\ncontract:\n  version: \"1\"\n  dependencies:\n    # rows\n    tentacular-postgres:\n      \
                        protocol: postgresql # p\n      host: db # h\n      port: '5432'\n      auth:\n        secret: \
                        tentacular-postgres.password\n        type: password\n\n    # another\n    api: {host: h, port: 443}\nnodes: {}\n";
        assert_eq!(completed(file).as_deref(), Ok(expected));
        assert_eq!(completed(expected).as_deref(), Ok(expected), "what is complete stays as it is");
    }

    #[test]
    fn a_dependency_is_completed_however_the_file_spells_it() {
        for file in [
            "contract:\n  dependencies:\n    tentacular-postgres:\n    x: {a: 1}\n",
            "contract:\n  dependencies:\n    tentacular-postgres: # none\n",
            "contract:\n  dependencies:\n    tentacular-postgres: ~\n",
            "contract:\n  dependencies:\n    'tentacular-postgres': {}\n    x: 1\n",
            "contract: {dependencies: {tentacular-postgres: {protocol: postgresql}, y: 1}}\n",
            "{\"contract\":{\"dependencies\":{\"tentacular-postgres\":{\"protocol\":\"postgresql\"}}}}",
            "contract:\r\n  dependencies:\r\n    tentacular-postgres:\r\n      protocol: postgresql\r\n    y: 1\r\n",
            "---\ncontract:\n    dependencies:\n        tentacular-postgres:\n            auth:\n                type: x\n\n# end\n",
            "contract:\n  dependencies:\n    tentacular-postgres:\n      protocol: postgresql",
        ] {
            let text = completed(file).unwrap_or_else(|error| panic!("{file}: {error}"));
            let dependency = &workflow::json(&text).unwrap()["contract"]["dependencies"]["tentacular-postgres"];
            assert_eq!((&dependency["host"], &dependency["port"]), (&json!("db"), &json!("5432")), "{text}");
            assert_eq!(dependency["auth"]["secret"], "tentacular-postgres.password", "{text}");
            // It reads as one and stays one: the same again changes nothing.
            assert_eq!(completed(&text).as_deref(), Ok(text.as_str()), "{file}");
        }
    }

    #[test]
    fn what_would_change_something_else_is_refused() {
        for file in [
            "contract:\n  dependencies:\n    tentacular-postgres: &a\n      protocol: postgresql\n    b: *a\n",
            "x: &x {protocol: postgresql}\ncontract:\n  dependencies:\n    tentacular-postgres: *x\n",
            "contract:\n  dependencies:\n    tentacular-postgres: [hunter2]\n",
            "contract:\n  dependencies:\n    tentacular-postgres: hunter2\n",
            "contract: {dependencies: {\"tentacular\\x2dpostgres\": {}}}",
        ] {
            match completed(file) {
                Ok(text) => assert!(workflow::json(&text).is_ok(), "{text}"),
                Err(error) => {
                    assert!(error.starts_with("contract.dependencies.tentacular-postgres: "), "{error}");
                    assert!(!error.contains("hunter2"), "{error}");
                }
            }
        }
    }

    #[test]
    fn values_with_signs_of_yaml_arrive_as_they_are() {
        for value in
            ["a: b # c", "'\"", "\\", "- x", "{}", "*a", "&a", "!t", "no", "1e3", "", " ", "ü\u{7f}\t", "a\nb"]
        {
            let file = "contract:\n  dependencies:\n    tentacular-postgres:\n      protocol: postgresql\n";
            let text = complete(file, &[share(vec![("host", json!(value))])])
                .unwrap_or_else(|error| panic!("{value:?}: {error}"));
            assert_eq!(
                workflow::json(&text).unwrap()["contract"]["dependencies"]["tentacular-postgres"]["host"],
                json!(value)
            );
        }
    }
}
