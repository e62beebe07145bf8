//! What is read out of annotations and `ConfigMap`s.

use serde_json::json;

use super::*;

fn pairs(list: &[(&str, &str)]) -> Pairs {
    list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn described(annotations: &[(&str, &str)], code: &[(&str, &str)], metadata: &[(&str, &str)]) -> Value {
    let mut description = Answer::default();
    of_workflow(&mut description, &pairs(annotations), &pairs(code));
    of_metadata(&mut description, &pairs(metadata));
    serde_json::to_value(description).expect("JSON")
}

const FILE: &str = "version: '2.1'\nnodes:\n  store: {path: ./store.ts, description: Stores}\n  hello: {path: ./hello.ts}\n\
                    edges:\n  - {from: hello, to: store}\ntriggers:\n  - {type: cron, schedule: 0 2 * * *}\n  - type: manual\n";

#[test]
fn nodes_are_objects_whoever_names_them() {
    let by_file = described(&[], &[("workflow.yaml", FILE)], &[]);
    let nodes = json!([
        { "name": "hello", "path": "./hello.ts" },
        { "name": "store", "path": "./store.ts", "description": "Stores" },
    ]);
    assert_eq!((&by_file["nodes"], &by_file["version"]), (&nodes, &json!("2.1")));
    assert_eq!(by_file["edges"], json!([["hello", "store"]]));
    assert_eq!(by_file["triggers"], json!(["cron 0 2 * * *", "manual"]));

    let names = ("tentacular.io/nodes", r#"["store","other"]"#);
    let told = ("node_descriptions", r#"[{"name":"other","description":"Is \u202eother"}]"#);
    let by_annotation = described(&[names, (keys::VERSION, "3")], &[("workflow.yaml", FILE)], &[told]);
    let nodes = json!([
        { "name": "store", "path": "./store.ts", "description": "Stores" },
        { "name": "other", "description": "Is other" },
    ]);
    assert_eq!(
        (&by_annotation["nodes"], &by_annotation["version"]),
        (&nodes, &json!("")),
        "the label's is left alone"
    );
    assert_eq!(described(&[], &[], &[])["nodes"], json!([]));
}

/// A `ConfigMap` whose release label is this; without one for none.
fn config_map(name: &str, release: Option<&str>, data: &[(&str, &str)]) -> ConfigMap {
    let mut map = ConfigMap { data: Some(pairs(data)), ..ConfigMap::default() };
    map.metadata.name = Some(name.to_owned());
    map.metadata.labels = release.map(|release| pairs(&[(keys::RELEASE, release)]));
    map
}

#[test]
fn what_is_named_as_the_tentacles_code_may_be_another_tentacles() {
    let tentacle = "report-worker".parse().expect("a name");
    let code =
        |release| code_of(&tentacle, Some(config_map("report-worker-code", release, &[("workflow.yaml", FILE)])));
    for (release, nodes) in [(Some("report"), 0), (Some("report-worker"), 2), (Some(""), 2), (None, 2)] {
        let mut description = Answer::default();
        of_workflow(&mut description, &Pairs::new(), &code(release));
        assert_eq!((description.nodes.len(), description.triggers.len()), (nodes, nodes), "{release:?}");
    }
    assert_eq!(code_of(&tentacle, None), Pairs::new());
}

#[test]
fn what_the_annotation_names_may_be_another_tentacles_or_nobodys() {
    let tentacle = "report".parse().expect("a name");
    for (name, release, is_shown) in [
        ("report-metadata", Some("report"), true),
        ("report-metadata", None, true),
        ("report-metadata", Some("other"), false),
        ("notes", Some("report"), true),
        ("notes", None, false),
        ("other-metadata", Some("other"), false),
    ] {
        let metadata = metadata_of(&tentacle, Some(config_map(name, release, &[("readme", "here")])));
        assert_eq!(!metadata.is_empty(), is_shown, "{name} {release:?}");
    }
}

#[test]
fn what_came_with_the_workflow_is_shown_in_its_parts() {
    let prompts = "prompts:\n  - {node: a, name: p, model: m, system_prompt: 'Be good, token=hunter2', tools: [{name: t}]}\n\
                   templates:\n  - {node: a, name: t, format: markdown, template: \"# {{x}}\"}\n";
    let described = described(
        &[
            ("tentacular.io/sidecars", r#"[{"name":"thumbs","image":"i:1","port":9000}]"#),
            ("tentacular.io/dependencies", r#"[{"name":"db","protocol":"postgresql","managed":true}]"#),
            (keys::INVENTORY, r#"[{"kind":"Secret","name":"s","keys":["token"]},{"kind":"Service","name":"x"}]"#),
        ],
        &[],
        &[
            ("readme", "# Title\n\u{1b}[2Jtext"),
            ("contract", "requires secret: github.token"),
            ("git_provenance", r#"{"commit":"c0ffee","branch":"main","dirty":true}"#),
            ("prompts", prompts),
        ],
    );
    for (member, value) in [
        ("sidecars", json!([{ "name": "thumbs", "image": "i:1", "port": 9000 }])),
        ("dependencies", json!([{ "name": "db", "protocol": "postgresql", "managed": true }])),
        (
            "objects",
            json!([{ "kind": "Secret", "name": "s", "keys": ["token"] }, { "kind": "Service", "name": "x" }]),
        ),
        ("readme", json!("# Title\ntext")),
        ("contract_summary", json!("requires secret: github.token")),
        ("git_provenance", json!({ "commit": "c0ffee", "branch": "main", "dirty": true })),
        (
            "prompts",
            json!([{ "node": "a", "name": "p", "model": "m", "system_prompt": "Be good, token=***",
                "tools": [{ "name": "t" }] }]),
        ),
        ("templates", json!([{ "node": "a", "name": "t", "format": "markdown", "template": "# {{x}}" }])),
    ] {
        assert_eq!(described[member], value, "{member}");
    }
    assert!(described.get("warnings").is_none(), "{described}");
}

#[test]
fn a_part_that_cannot_be_read_is_told_of_and_the_others_are_there() {
    let described = described(
        &[("tentacular.io/nodes", "hunter2"), ("tentacular.io/edges", r#"[["a"]]"#)],
        &[("workflow.yaml", "nodes: [hunter2\n")],
        &[("git_provenance", "7"), ("prompts", "prompts: hunter2\n"), ("readme", "here")],
    );
    let warnings = described["warnings"].as_array().expect("warnings");
    assert_eq!(warnings.len(), 5, "{warnings:?}");
    assert!(!described.to_string().contains("hunter2"), "{described}");
    assert_eq!(described["readme"], "here");
}

#[test]
fn long_texts_and_lists_are_cut() {
    let names = serde_json::to_string(&vec!["n"; 1000]).expect("JSON");
    let readme = "ä".repeat(50_000);
    let described = described(&[("tentacular.io/nodes", &names)], &[], &[("readme", &readme)]);
    assert_eq!(described["nodes"].as_array().map(Vec::len), Some(200));
    assert_eq!(described["readme"].as_str().map(|text| text.chars().count()), Some(20_001));
}
