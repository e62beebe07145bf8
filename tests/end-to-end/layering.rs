//! Dependencies run one way: `contract` ← `cluster`, `process` ← the five processes; and only `cluster` (and the
//! tests) speak to the Kubernetes API.

mod architecture;
mod threat_model;

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use serde_json::Value;

/// The product's packages and the packages of this workspace that each may depend on.
const ALLOWED: [(&str, &[&str]); 8] = [
    ("tentacular-contract", &[]),
    ("tentacular-cluster", &["tentacular-contract"]),
    ("tentacular-process", &["tentacular-contract"]),
    ("tentacular-kernel", &["tentacular-contract", "tentacular-cluster", "tentacular-process"]),
    ("tentacular-registrar", &["tentacular-contract", "tentacular-cluster", "tentacular-process"]),
    ("tentacular-scheduler", &["tentacular-contract", "tentacular-cluster", "tentacular-process"]),
    ("tentacular-auditor", &["tentacular-contract", "tentacular-cluster", "tentacular-process"]),
    ("tentacular-webhook", &["tentacular-contract", "tentacular-cluster", "tentacular-process"]),
];
/// Packages that stand outside of the product: the tests, the demo, the example engine.
const OUTSIDE: [&str; 5] = [
    "tentacular-test-harness",
    "tentacular-end-to-end",
    "tentacular-node",
    "tentacular-demo",
    "tentacular-example-engine",
];
/// What the pure core must not depend on.
const IMPURE: [&str; 3] = ["tokio", "hyper", "kube"];

/// The direct dependencies of each package of the workspace that end up in its binaries.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--locked"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("dependencies");
            let shipped = dependencies.iter().filter(|dependency| dependency["kind"] != "dev");
            (text(&package["name"]), shipped.map(|dependency| text(&dependency["name"])).collect())
        })
        .collect()
}

#[test]
fn every_package_depends_only_on_the_layers_below_it() {
    let allowed: BTreeMap<_, _> = ALLOWED.into_iter().collect();
    for (package, dependencies) in dependencies() {
        let ours: BTreeSet<_> = dependencies.iter().filter(|name| name.starts_with("tentacular-")).collect();
        match allowed.get(package.as_str()) {
            Some(below) => {
                for dependency in ours {
                    assert!(below.contains(&dependency.as_str()), "{package} must not depend on {dependency}");
                }
            }
            None => assert!(OUTSIDE.contains(&package.as_str()), "{package} has no place in the layers"),
        }
    }
}

#[test]
fn only_cluster_and_the_tests_name_kube() {
    for (package, dependencies) in dependencies() {
        let names_kube = dependencies.iter().any(|name| name == "kube" || name.starts_with("kube-"));
        let may = package == "tentacular-cluster" || OUTSIDE.contains(&package.as_str());
        assert!(!names_kube || may, "{package} must not depend on kube: kernel/cluster speaks to the API server");
    }
}

#[test]
fn the_contract_is_pure() {
    let dependencies = &dependencies()["tentacular-contract"];
    for impure in IMPURE {
        assert!(!dependencies.contains(impure), "contract must not depend on {impure}");
    }
}
