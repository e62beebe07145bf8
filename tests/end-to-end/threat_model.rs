//! docs/threat-model.md names the tests that hold its claims: each is there, and each claim names one.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

pub(crate) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// Where tests are.
const FOLDERS: [&str; 4] = ["kernel", "sidecars", "webhook", "tests"];
/// How the heading of the column begins that names them.
const HELD_BY: &str = "held by";

/// The Rust files of product and tests.
pub(crate) fn sources() -> BTreeMap<PathBuf, String> {
    let mut folders: Vec<PathBuf> = FOLDERS.iter().map(|folder| Path::new(ROOT).join(folder)).collect();
    let mut found = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.insert(path.clone(), fs::read_to_string(&path).expect("a text"));
            }
        }
    }
    found
}

/// The functions that are tests, by the file they are in.
fn tests() -> BTreeMap<PathBuf, Vec<String>> {
    sources().into_iter().map(|(path, source)| (path, tests_of(&source))).collect()
}

/// The functions of a file that stand below `#[test]` or `#[tokio::test…]`, further attributes between them.
fn tests_of(source: &str) -> Vec<String> {
    let (mut found, mut is_test) = (Vec::new(), false);
    for line in source.lines().map(str::trim) {
        let name = line.trim_start_matches("async ").strip_prefix("fn ");
        match name.and_then(|rest| rest.split(['(', '<']).next()) {
            Some(name) if is_test => found.push(name.to_owned()),
            _ if line.starts_with("#[test]") || line.starts_with("#[tokio::test") => is_test = true,
            _ if is_test && (line.starts_with("#[") || line.starts_with("//")) => {}
            _ => is_test = false,
        }
        is_test &= name.is_none();
    }
    found
}

/// The last cell of each row in the tables that have a column of tests, with the row's first.
fn claims(page: &str) -> Vec<(&str, &str)> {
    let mut claims = Vec::new();
    let mut rows = 0;
    for line in page.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        match cells[..] {
            [_, .., HELD_BY, _] => rows = 1,
            [_, first, .., last, _] if rows > 0 => {
                rows += 1;
                // The second line is the rule below the heading.
                if rows > 2 {
                    claims.push((first, last));
                }
            }
            _ => rows = 0,
        }
    }
    claims
}

#[test]
fn each_claim_of_the_threat_model_is_held_by_tests_that_exist() {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/threat-model.md")).expect("the page");
    let tests = tests();
    let exists = |reference: &str| {
        let (file, name) = reference.split_once("::").unwrap_or((reference, ""));
        tests
            .iter()
            .any(|(path, functions)| path.ends_with(file) && functions.iter().any(|function| function == name))
    };
    let claims = claims(&page);
    assert!(claims.len() > 40, "only {} claims were found", claims.len());
    let mut wrong = Vec::new();
    for (claim, held_by) in claims {
        let mut references = held_by.split('`').skip(1).step_by(2).peekable();
        if references.peek().is_none() {
            wrong.push(format!("{claim}: no test is named"));
        }
        wrong
            .extend(references.filter(|reference| !exists(reference)).map(|gone| format!("{claim}: no test {gone}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_test_is_told_from_another_function() {
    let source = "#[test]\nfn one() {\n}\n\nfn helper() {}\n\n#[tokio::test(start_paused = true)]\n#[cfg(unix)]\nasync fn two() {\n\
                  fn inner() {}\n";
    assert_eq!(tests_of(source), ["one", "two"]);
    assert_eq!(tests_of("#[cfg(test)]\nmod tests {\n    use super::*;\n    fn helper() {}\n"), [""; 0]);
}
