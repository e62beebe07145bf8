use std::fmt::Write as _;

use serde_json::json;

use super::*;

fn config_map(name: &str, file: &str) -> Manifest {
    let body = json!({ "data": { "other": ":", FILE: file } });
    Manifest { kind: Kind::ConfigMap, name: name.to_owned(), body }
}

/// What is found in the contract of `report` with this `workflow.yaml`.
fn of(file: &str) -> Found {
    check(&"report".parse().unwrap(), &[config_map("report-code", file)], &[])
}

/// The one violation there is in this `workflow.yaml`.
fn violation(file: &str) -> String {
    let mut found = of(file);
    assert_eq!((found.violations.len(), found.warnings.len()), (1, 0), "{found:?}");
    found.violations.remove(0)
}

const FIELD: &str = "ConfigMap/report-code: data[\"workflow.yaml\"]: contract.dependencies";

#[test]
fn every_backing_service_is_refused_with_what_to_do() {
    let found =
        of("contract:\n  dependencies:\n    tentacular-rustfs: # s3\n    github-api: {host: api.github.com}\n    \
                    \"tentacular-postgres\": {protocol: postgresql}\n    tentacular-nats:\n      protocol: nats\n");
    let expected = ["nats", "postgres", "rustfs"].map(|service| {
        format!(
            "{FIELD}.tentacular-{service}: exoskeleton: {service} not enabled; take the dependency out of workflow.yaml, \
             or ask an administrator to enable the service"
        )
    });
    assert_eq!(found, Found { violations: expected.to_vec(), ..Found::default() });
}

#[test]
fn a_service_that_is_enabled_is_no_violation() {
    let file = "contract: {dependencies: {tentacular-postgres: {}, tentacular-nats: {}}}";
    let enabled = [Service::Postgres];
    let found = check(&"report".parse().unwrap(), &[config_map("report-code", file)], &enabled);
    assert_eq!((found.services.as_slice(), found.violations.len()), (enabled.as_slice(), 1), "{found:?}");
    assert!(found.violations[0].contains("tentacular-nats: exoskeleton: nats not enabled"), "{found:?}");
}

#[test]
fn a_service_is_found_however_the_file_spells_it() {
    for file in [
        r#"{"contract":{"dependencies":{"tentacular-nats":{}}}}"#,
        "contract: {dependencies: {? tentacular-nats : 1}}",
        "contract:\n  dependencies:\n    \"tentacular\\x2dnats\": {}\n",
        "x: &x {tentacular-nats: {}}\ncontract: {dependencies: *x}\n",
        "x: &x {tentacular-nats: {}}\ncontract: {dependencies: {<<: *x, a: {}}}\n",
        "%YAML 1.2\n---\ncontract: {dependencies: {tentacular-nats: null}}\n...\n",
        "\u{feff}contract: {dependencies: {tentacular-nats: null}}\r\n",
    ] {
        assert_eq!(of(file).violations.len(), 1, "{file}");
    }
}

#[test]
fn another_name_of_that_kind_is_a_warning() {
    let found = of("contract: {dependencies: {tentacular-redis: {}, tentacular-: 1, Tentacular-nats: 1, nats: 1}}");
    let warning = format!(
        "{FIELD}: tentacular-, tentacular-redis: no such backing service, nothing is set up for it; there are \
         tentacular-postgres, tentacular-nats, tentacular-rustfs"
    );
    assert_eq!(found, Found { warnings: vec![warning], ..Found::default() });

    let mut many = "contract:\n  dependencies:\n".to_owned();
    for index in 0..5000 {
        writeln!(many, "    ? \"tentacular-{index:05}\\n{}\"\n    : 1", "x".repeat(100)).unwrap();
    }
    let warning = of(&many).warnings.remove(0);
    assert!(warning.contains("tentacular-00000\\nxxx") && warning.contains(" and 4990 more: "), "{warning}");
    assert!(warning.len() < 1200, "{warning}");
}

#[test]
fn without_a_contract_there_is_nothing_to_find() {
    for file in
        ["", "# nothing\n", "name: x\n", "contract:\n", "contract: {}", "contract:\n  dependencies:\n", "null"]
    {
        assert_eq!(of(file), Found::default(), "{file}");
    }
    let tentacle = "report".parse().unwrap();
    assert_eq!(check(&tentacle, &[], &[]), Found::default());
    let mut secret = config_map("report-code", "contract: {dependencies: {tentacular-nats: {}}}");
    secret.kind = Kind::Secret;
    assert_eq!(check(&tentacle, &[secret], &[]), Found::default());
}

#[test]
fn the_clients_config_map_counts_before_the_first() {
    let (nats, rustfs, none) = (
        config_map("a", "contract: {dependencies: {tentacular-nats: {}}}"),
        config_map("b", "contract: {dependencies: {tentacular-rustfs: {}}}"),
        config_map("report-code", "name: report"),
    );
    let tentacle = "report".parse().unwrap();
    let found = check(&tentacle, &[nats.clone(), rustfs.clone()], &[]).violations;
    assert!(found.len() == 1 && found[0].starts_with("ConfigMap/a: "), "{found:?}");
    assert_eq!(check(&tentacle, &[nats, none, rustfs], &[]), Found::default());
}

#[test]
fn a_file_that_cannot_be_read_is_refused_by_its_place_alone() {
    for (file, place) in [
        ("name: hunter2\n\tcontract: hunter2\n", "line 1, column 7"),
        ("name: hunter2\ncontract: {dependencies: [hunter2", "line 2"),
        ("name: \"hunter2\n", "line 2, column 1"),
        ("a: hunter2\na: hunter2\n", "line 2, column 1"),
        ("a: *hunter2\n", "line 1, column 4"),
        ("- hunter2\n", "line 1, column 1"),
        ("hunter2", "line 1, column 1"),
        ("contract: hunter2\n", "line 1, column 11"),
        ("contract:\n  dependencies:\n    - tentacular-hunter2\n", "line 3, column 5"),
        ("contract:\n  dependencies: hunter2\n", "line 2, column 17"),
        ("\u{1b}hunter2: 1", "line 1, column 1"),
    ] {
        let violation = violation(file);
        let start = format!("ConfigMap/report-code: data[\"workflow.yaml\"]: {place}");
        assert!(violation.starts_with(&start), "{file}: {violation}");
        assert!(violation.ends_with("correct it, as the engine reads it too"), "{violation}");
        assert!(!violation.contains("hunter2"), "{violation}");
    }
}

#[test]
fn a_file_that_stands_for_more_than_it_says_is_refused_early() {
    let mut laughs = "a0: &a0 [x, x]\n".to_owned();
    for index in 1..40 {
        writeln!(laughs, "a{index}: &a{index} [*a{0}, *a{0}, *a{0}]", index - 1).unwrap();
    }
    let mut long = format!("a: &a \"{}\"\nb:\n", "x".repeat(400_000));
    long += &"  - *a\n".repeat(50_000);
    let mut merged = "a0: &a0 {x: 1}\n".to_owned();
    for index in 1..500 {
        writeln!(merged, "a{index}: &a{index} {{<<: [*a{0}, *a{0}], y{index}: 1}}", index - 1).unwrap();
    }
    let mut chained = "a0: &a0 [x]\n".to_owned();
    for index in 1..900 {
        writeln!(chained, "a{index}: &a{index} [*a{}]", index - 1).unwrap();
    }
    let deep = format!("a: {}{}", "[".repeat(100), "]".repeat(100));
    let block = (0..1000).fold(String::new(), |file, depth| file + &" ".repeat(depth) + "a:\n");
    let (larger, unreadable) = ("it is larger than a workflow may be", "it is no YAML that can be read");
    for (what, file, problem) in [
        ("laughs", laughs, larger),
        ("a long text again and again", long, larger),
        ("merges", merged, larger),
        ("a chain", chained, larger),
        ("depth in brackets", deep, larger),
        ("depth in blocks", block, larger),
        ("two documents", "a: 1\n---\nb: 2\n".to_owned(), larger),
        ("documents", "---\n".repeat(200_000), larger),
        ("brackets", "[".repeat(500_000), unreadable),
        ("braces", "{a: ".repeat(200_000), unreadable),
        ("dashes", format!("a: {}", "- ".repeat(400_000)), unreadable),
        ("itself", "a: &a [*a]\n".to_owned(), unreadable),
    ] {
        let violation = violation(&file);
        assert!(violation.contains(problem) && violation.len() < 400, "{what}: {violation}");
    }
}
