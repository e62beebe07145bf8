//! What the server reads in a tentacle's `workflow.yaml`, the file that its engine reads too. Nothing of it is quoted but
//! what is asked for: it may hold what somebody should not have written into it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_saphyr::{Error, Options, alias_limits, budget, options};

use crate::module_proxy::Module;

/// Key of the file in its `ConfigMap`, which clients name `<tentacle>-code`.
pub const FILE: &str = "workflow.yaml";

/// How deep the file may nest; each level costs stack.
const DEPTH: usize = 64;
/// How often the file may repeat itself by aliases, and how many of these may merge mappings. What stands for much more
/// than it says is no workflow.
const ALIASES: usize = 1000;
const MERGES: usize = 100;

/// A trigger of type `cron`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronTrigger {
    /// What the workflow is told when it fires.
    pub name: Option<String>,
    /// When it fires, as written.
    pub schedule: String,
}

/// A file that cannot be read. Its text says where and why, and quotes nothing of it.
#[derive(Debug, thiserror::Error)]
pub struct Unreadable {
    error: Box<Error>,
    /// What must be so in it, beside being YAML.
    otherwise: &'static str,
}

/// The names of the contract's dependencies.
///
/// # Errors
/// When the file cannot be read, or `contract.dependencies` in it is no mapping.
pub fn dependencies(text: &str) -> Result<Vec<String>, Unreadable> {
    #[derive(Deserialize)]
    struct Workflow {
        contract: Option<Contract>,
    }
    #[derive(Deserialize)]
    #[expect(clippy::zero_sized_map_values, reason = "a set would be read from a list")]
    struct Contract {
        dependencies: Option<BTreeMap<String, IgnoredAny>>,
    }
    let workflow: Option<Workflow> = read(text, "contract.dependencies in it is no mapping")?;
    let contract = workflow.and_then(|workflow| workflow.contract);
    Ok(contract.and_then(|contract| contract.dependencies).unwrap_or_default().into_keys().collect())
}

/// The modules of a registry that the contract depends on, each once. What is written so that it is none is left out.
///
/// # Errors
/// When the file cannot be read.
pub fn modules(text: &str) -> Result<BTreeSet<Module>, Unreadable> {
    let file = json(text)?;
    let dependencies = file.pointer("/contract/dependencies").and_then(|dependencies| dependencies.as_object());
    let modules = dependencies.into_iter().flat_map(|dependencies| dependencies.values()).filter_map(|dependency| {
        let text = |member: &str| dependency[member].as_str();
        Module::new(text("protocol")?, text("host")?, text("version"))
    });
    Ok(modules.collect())
}

/// The triggers of type `cron` that have a schedule, in their order.
///
/// # Errors
/// When the file cannot be read, or `triggers` in it is no list of mappings.
pub fn cron_triggers(text: &str) -> Result<Vec<CronTrigger>, Unreadable> {
    #[derive(Deserialize)]
    struct Workflow {
        triggers: Option<Vec<Trigger>>,
    }
    #[derive(Deserialize)]
    struct Trigger {
        #[serde(rename = "type")]
        kind: Option<String>,
        name: Option<String>,
        schedule: Option<String>,
    }
    let workflow: Option<Workflow> =
        read(text, "triggers in it is no list of mappings with a type, name and schedule")?;
    let triggers = workflow.and_then(|workflow| workflow.triggers).unwrap_or_default();
    let cron = triggers.into_iter().filter(|trigger| trigger.kind.as_deref() == Some("cron"));
    Ok(cron
        .filter_map(|Trigger { name, schedule, .. }| {
            Some(CronTrigger { name: name.filter(|name| !name.is_empty()), schedule: schedule? })
        })
        .collect())
}

/// The whole of a file that a client wrote in YAML, as JSON.
///
/// # Errors
/// When the file cannot be read.
pub fn json(text: &str) -> Result<serde_json::Value, Unreadable> {
    read(text, "a key in it is no text")
}

fn read<T: DeserializeOwned>(text: &str, otherwise: &'static str) -> Result<T, Unreadable> {
    serde_saphyr::from_str_with_options(text, limited())
        .map_err(|error| Unreadable { error: Box::new(error), otherwise })
}

/// How the file is read: never deeper or longer than a workflow is.
fn limited() -> Options {
    options! {
        budget: budget! { max_depth: DEPTH, max_aliases: ALIASES, max_merge_keys: MERGES, max_documents: 1 },
        alias_limits: alias_limits! { max_total_replayed_events: 10 * ALIASES, max_replay_stack_depth: DEPTH },
        with_snippet: false,
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = self.error.location() {
            write!(f, "line {}, column {}: ", at.line(), at.column())?;
        }
        if exceeds(&self.error) {
            write!(
                f,
                "it is larger than a workflow may be: one document, at most {DEPTH} levels deep, with at most {ALIASES} \
                 aliases that stand for little; write it out plainly"
            )
        } else {
            write!(f, "it is no YAML that can be read, or {}; correct it, as the engine reads it too", self.otherwise)
        }
    }
}

/// Whether it is about one of the limits.
fn exceeds(error: &Error) -> bool {
    match error {
        Error::AliasError { error, .. } => exceeds(error),
        Error::Budget { .. }
        | Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cron_triggers_are_those_of_the_file_in_their_order() {
        let file = "triggers:\n  - type: cron\n    name: nightly\n    schedule: \"0 2 * * *\"\n  - type: manual\n  \
                    - {type: cron, schedule: '@daily', timeout: 3}\n  - {type: cron}\n  - {schedule: 0 3 * * *}\n  \
                    - {type: cron, name: '', schedule: 5 * * * *}\n";
        let trigger = |name: Option<&str>, schedule: &str| CronTrigger {
            name: name.map(str::to_owned),
            schedule: schedule.to_owned(),
        };
        assert_eq!(
            cron_triggers(file).expect("a workflow"),
            [trigger(Some("nightly"), "0 2 * * *"), trigger(None, "@daily"), trigger(None, "5 * * * *")]
        );
        for file in ["", "# nothing", "name: x", "triggers:", "triggers: []", "null"] {
            assert_eq!(cron_triggers(file).expect(file), [], "{file}");
        }
    }

    #[test]
    fn modules_are_the_dependencies_on_registries_each_once() {
        let file = "contract:\n  dependencies:\n    yaml: {protocol: jsr, host: '@std/yaml', version: 1.0.5}\n    \
                    again: {protocol: jsr, host: '@std/yaml', version: 1.0.5}\n    lodash: {protocol: npm, host: \
                    lodash-es}\n    api: {protocol: https, host: api.example.com, port: 443}\n    odd: {protocol: npm, \
                    host: [a]}\n    nothing:\n    text: npm\n";
        let modules: Vec<_> = modules(file).expect("a workflow").iter().map(Module::to_string).collect();
        assert_eq!(modules, ["npm:lodash-es", "jsr:@std/yaml@1.0.5"]);
        for file in ["", "name: x", "contract:", "contract: {dependencies: [a]}"] {
            assert!(super::modules(file).expect(file).is_empty(), "{file}");
        }
    }

    #[test]
    fn a_file_is_read_as_json() {
        let file = "name: x\nnodes:\n  a: {path: ./a.ts, n: 1.5}\nlist: [true, ~, '1']\n";
        let value = serde_json::json!({
            "name": "x", "nodes": { "a": { "path": "./a.ts", "n": 1.5 } }, "list": [true, null, "1"],
        });
        assert_eq!(json(file).expect("a file"), value);
        assert!(json("a: *hunter2").is_err_and(|error| !error.to_string().contains("hunter2")));
    }

    #[test]
    fn what_cannot_be_read_is_told_by_its_place_alone() {
        for (file, place) in [
            ("triggers: hunter2", "line 1, column 11"),
            ("triggers:\n  - hunter2\n", "line 2, column 5"),
            ("triggers:\n  - {type: cron, schedule: [hunter2]}\n", "line 2"),
            ("a: *hunter2\n", "line 1, column 4"),
        ] {
            let problem = cron_triggers(file).expect_err(file).to_string();
            assert!(problem.starts_with(place) && problem.contains("triggers in it is no list"), "{file}: {problem}");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
        let deep = format!("a: {}{}", "[".repeat(100), "]".repeat(100));
        assert!(cron_triggers(&deep).expect_err("deep").to_string().contains("larger than a workflow may be"));
    }
}
