//! Every setting of a process is one of the chart's values, or docs/operations.md says why it is none.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use tentacular_test_harness::{Part, chart::render};
use tokio::process::Command;

use super::{PROCESSES, rendered::sets};

/// The heading above the table of what the chart sets no value for.
const HEADING: &str = "## What the chart leaves alone";

/// The variable of each flag, as the process itself tells.
async fn settings(part: Part) -> anyhow::Result<BTreeMap<String, String>> {
    let output = Command::new(part.binary()?).arg("--help").env_clear().output().await?;
    let help = String::from_utf8(output.stdout)?;
    let (mut settings, mut flag) = (BTreeMap::new(), None);
    for line in help.lines().map(str::trim_start) {
        if line.starts_with("--") {
            flag = line.split_whitespace().next();
        }
        if let (Some(flag), Some((_, rest))) = (flag, line.split_once("[env: ")) {
            let variable = rest.split(['=', ']']).next().unwrap_or_default();
            settings.insert(flag.to_owned(), variable.to_owned());
        }
    }
    ensure!(settings.len() > 5, "the {} tells of {settings:?}", part.name());
    Ok(settings)
}

/// The variables that some set of values gives to each process.
async fn given() -> anyhow::Result<BTreeMap<String, BTreeSet<String>>> {
    let mut given = BTreeMap::<String, BTreeSet<String>>::new();
    for values in sets() {
        let values: Vec<_> = values.iter().map(String::as_str).collect();
        for deployment in render(&["server.yaml", "webhook-server.yaml"], &values).await? {
            let pod = &deployment["spec"]["template"]["spec"];
            let containers = ["containers", "initContainers"].iter().filter_map(|list| pod[list].as_array());
            for container in containers.flatten() {
                let name = container["name"].as_str().context("a container has a name")?;
                let variables = container["env"].as_array().into_iter().flatten();
                let names = variables.filter_map(|variable| variable["name"].as_str());
                given.entry(name.to_owned()).or_default().extend(names.map(str::to_owned));
            }
        }
    }
    Ok(given)
}

/// The flags in the table, by process; those of all are under `each`.
fn left_alone() -> anyhow::Result<BTreeMap<String, BTreeSet<String>>> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md"))?;
    let (_, section) = page.split_once(HEADING).with_context(|| format!("no {HEADING:?} in docs/operations.md"))?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut flags = BTreeMap::<String, BTreeSet<String>>::new();
    for row in section.lines().filter_map(|line| line.strip_prefix("| ")) {
        let (processes, rest) = row.split_once(" | ").with_context(|| row.to_owned())?;
        let (named, reason) = rest.split_once(" | ").with_context(|| row.to_owned())?;
        let named: Vec<_> = named.split('`').filter(|word| word.starts_with("--")).map(str::to_owned).collect();
        ensure!(!reason.trim_end_matches('|').trim().is_empty(), "no reason: {row}");
        for process in processes.split(", ") {
            flags.entry(process.to_owned()).or_default().extend(named.iter().cloned());
        }
    }
    Ok(flags)
}

#[tokio::test]
async fn e2e_chart_every_setting_is_a_value_or_has_a_reason_not_to_be() -> anyhow::Result<()> {
    let (given, left_alone) = (given().await?, left_alone()?);
    let of = |process: &str| left_alone.get(process).cloned().unwrap_or_default();
    for part in PROCESSES {
        let settings = settings(part).await?;
        let given = given.get(part.name()).with_context(|| format!("no container {}", part.name()))?;
        let reasons: BTreeSet<_> = of(part.name()).union(&of("each")).cloned().collect();
        for (flag, variable) in &settings {
            let reason = reasons.contains(flag);
            let places = if reason { "both" } else { "neither" };
            ensure!(
                given.contains(variable) != reason,
                "{flag} ({variable}) of the {}: either the chart or the table under {HEADING:?} must have it, and {places} do",
                part.name(),
            );
        }
        let unknown: Vec<_> = reasons.iter().filter(|flag| !settings.contains_key(*flag)).collect();
        ensure!(unknown.is_empty(), "the table has {unknown:?}, which the {} does not know", part.name());
        // A is what a set of values adds.
        let variables: BTreeSet<_> = settings.into_values().chain(["A".to_owned()]).collect();
        let unread: Vec<_> = given.difference(&variables).collect();
        ensure!(unread.is_empty(), "the chart gives the {} {unread:?}, which it does not read", part.name());
    }
    Ok(())
}
