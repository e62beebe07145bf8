//! Every node of a tentacle says what it does. The client writes the nodes' names into an annotation of the Deployment
//! and their descriptions into a `ConfigMap`; a Deployment without that annotation has no nodes to describe.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;
use tentacular_cluster::Kind;
use tentacular_contract::{TentacleName, keys::NODES, reach::Names};

use super::manifest::Manifest;

/// Key of the descriptions in their `ConfigMap`: a JSON list of [`Description`].
const DESCRIPTIONS: &str = "node_descriptions";

#[derive(Deserialize)]
struct Description {
    name: String,
    description: Option<String>,
}

/// One sentence for each node without a description. `names` are those of all manifests: of one that could not be read
/// the caller hears already, and nothing follows from it here.
pub(crate) fn violations(tentacle: &TentacleName, manifests: &[Manifest], names: &Names) -> Vec<String> {
    let deployment = manifests.iter().find(|manifest| manifest.is_deployment_of(tentacle));
    let Some((deployment, annotation)) = deployment.and_then(|manifest| Some((manifest, nodes_of(manifest)?))) else {
        return Vec::new();
    };
    let field = format!("{deployment}: metadata.annotations[{NODES:?}]");
    let nodes: BTreeSet<String> = match serde_json::from_str(annotation) {
        Ok(nodes) => nodes,
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            let problem = format!("malformed {NODES} annotation: line {line}, column {column}");
            return vec![format!("{field}: {problem}: use a JSON list of the nodes' names, such as [\"fetch\"]")];
        }
    };
    let metadata = format!("{tentacle}-metadata");
    let config_map = manifests.iter().find(|manifest| manifest.kind == Kind::ConfigMap && manifest.name == metadata);
    if config_map.is_none() && names.contains(&(Kind::ConfigMap.as_str().to_owned(), metadata.clone())) {
        return Vec::new();
    }
    let described = match config_map.map_or_else(|| Ok(BTreeSet::new()), described) {
        Ok(described) => described,
        Err(violation) => return vec![violation],
    };
    let missing = nodes.difference(&described).map(|node| {
        format!(
            "{field}: node {node:?}: description is required (add description field in workflow.yaml); it belongs into \
             {DESCRIPTIONS} of ConfigMap/{metadata}"
        )
    });
    missing.collect()
}

fn nodes_of(deployment: &Manifest) -> Option<&str> {
    let annotation = deployment.body.get("metadata")?.get("annotations")?.get(NODES)?.as_str()?;
    Some(annotation.trim()).filter(|annotation| !annotation.is_empty())
}

/// The names of the nodes that are described.
fn described(config_map: &Manifest) -> Result<BTreeSet<String>, String> {
    let text = config_map.body.get("data").and_then(|data| data.get(DESCRIPTIONS)).and_then(Value::as_str);
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else { return Ok(BTreeSet::new()) };
    let all: Vec<Description> = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        format!(
            "{config_map}: data[{DESCRIPTIONS:?}]: line {line}, column {column}: use a JSON list of objects with name \
             and description"
        )
    })?;
    let said = |text: Option<String>| text.is_some_and(|text| !text.trim().is_empty());
    Ok(all.into_iter().filter_map(|one| said(one.description).then_some(one.name)).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn manifest(kind: Kind, name: &str, body: Value) -> Manifest {
        Manifest { kind, name: name.to_owned(), body }
    }

    /// What is held against a Deployment with this annotation beside a `ConfigMap` with these descriptions.
    fn of(nodes: &str, descriptions: Option<&str>) -> Vec<String> {
        let annotated = json!({ "metadata": { "annotations": { NODES: nodes } } });
        let mut manifests = vec![manifest(Kind::Deployment, "report", annotated)];
        if let Some(descriptions) = descriptions {
            let body = json!({ "data": { DESCRIPTIONS: descriptions } });
            manifests.push(manifest(Kind::ConfigMap, "report-metadata", body));
        }
        violations(&"report".parse().unwrap(), &manifests, &Names::new())
    }

    #[test]
    fn every_node_without_description_is_named() {
        let descriptions = r#"[
            {"name":"a","description":"Does it"}, {"name":"b","description":" "}, {"name":"c"},
            {"name":"e","description":"Of no node"}, {"name":"f","description":null,"more":1}
        ]"#;
        let found = of(r#"["a","b","c","d","f","b"]"#, Some(descriptions));
        let named: Vec<_> = found.iter().map(|sentence| sentence.split(": ").nth(2).unwrap()).collect();
        assert_eq!(named, [r#"node "b""#, r#"node "c""#, r#"node "d""#, r#"node "f""#]);
        let start = "Deployment/report: metadata.annotations[\"tentacular.io/nodes\"]: node \"b\": description is required \
                     (add description field in workflow.yaml)";
        assert!(found[0].starts_with(start), "{found:?}");
        assert!(found[0].ends_with("node_descriptions of ConfigMap/report-metadata"), "{found:?}");
    }

    #[test]
    fn descriptions_that_are_missing_altogether_are_missing_for_each() {
        for descriptions in [None, Some(" \n"), Some("[]")] {
            assert_eq!(of(r#"["a","b"]"#, descriptions).len(), 2, "{descriptions:?}");
        }
    }

    #[test]
    fn without_the_annotation_there_is_nothing_to_describe() {
        for nodes in ["", "  ", "[]"] {
            assert_eq!(of(nodes, Some("{")).len(), usize::from(nodes == "[]"), "{nodes:?}");
            assert_eq!(of(nodes, None), Vec::<String>::new(), "{nodes:?}");
        }
        let tentacle = "report".parse().unwrap();
        assert_eq!(violations(&tentacle, &[], &Names::new()), Vec::<String>::new());
        let other = json!({ "metadata": { "annotations": { NODES: "[\"a\"]" } } });
        let other = manifest(Kind::Deployment, "other", other);
        assert_eq!(violations(&tentacle, &[other], &Names::new()), Vec::<String>::new());
    }

    #[test]
    fn what_is_malformed_is_named_by_its_place_alone() {
        for nodes in ["hunter2", r#"{"a":1}"#, r#"["a",{"hunter2":1}]"#, "[\"a\"", &"[".repeat(100_000)] {
            let found = of(nodes, Some(r#"[{"name":"a","description":"x"}]"#));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains("]: malformed tentacular.io/nodes annotation: line 1, column "), "{found:?}");
            assert!(!found[0].contains("hunter2"), "{found:?}");
        }
        for descriptions in ["hunter2", r#"{"a":"x"}"#, r#"["hunter2"]"#, r#"[{"description":"hunter2"}]"#] {
            let found = of(r#"["a"]"#, Some(descriptions));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with("ConfigMap/report-metadata: data[\"node_descriptions\"]: line 1, column "));
            assert!(!found[0].contains("hunter2"), "{found:?}");
        }
    }

    #[test]
    fn nothing_follows_from_descriptions_that_could_not_be_read() {
        let annotated = json!({ "metadata": { "annotations": { NODES: "[\"a\"]" } } });
        let manifests = [manifest(Kind::Deployment, "report", annotated)];
        let given = Names::from([("ConfigMap".to_owned(), "report-metadata".to_owned())]);
        let tentacle = "report".parse().unwrap();
        assert_eq!(violations(&tentacle, &manifests, &given), Vec::<String>::new());
        assert_eq!(violations(&tentacle, &manifests, &Names::new()).len(), 1);
    }
}
