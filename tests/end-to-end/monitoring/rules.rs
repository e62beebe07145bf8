//! Prometheus reads the rules and the dashboard's expressions, and each alert is raised by what it is about and by nothing else.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tentacular_test_harness::{Scratch, promtool::promtool};

use super::{
    asked_by_dashboard, each,
    faults::{ALL_WELL, FAULTS, Fault, Series},
    rules,
};

/// A file of rules that promtool reads; JSON is YAML.
const FILE: &str = "rules.yaml";

#[tokio::test]
async fn e2e_monitoring_prometheus_reads_every_expression() -> anyhow::Result<()> {
    let folder = Scratch::new()?;
    let file = folder.path().join(FILE);
    std::fs::write(&file, rules().await?.to_string())?;
    let said = promtool(folder.path(), &["check", "rules", "--lint=all", "--lint-fatal", FILE]).await?;
    let count = each(&rules().await?).count();
    ensure!(said.contains(&format!("{count} rules found")), "{said}");

    let recorded = |(number, expression)| json!({ "record": format!("panel:{number}"), "expr": expression });
    let panels = |expressions: Vec<String>| {
        let rules: Vec<_> = expressions.into_iter().enumerate().map(recorded).collect();
        json!({ "groups": [{ "name": "dashboard", "rules": rules }] })
    };
    let expressions = asked_by_dashboard().await?;
    std::fs::write(&file, panels(expressions).to_string())?;
    promtool(folder.path(), &["check", "rules", FILE]).await?;
    std::fs::write(&file, panels(vec!["sum by (rate(up[5m])".to_owned()]).to_string())?;
    promtool(folder.path(), &["check", "rules", FILE]).await.expect_err("a parenthesis is missing");
    Ok(())
}

/// A test of promtool's: half an hour of these series raises these alerts and no others.
fn half_an_hour(name: &str, series: &[Series], alerts: &BTreeSet<&str>, fault: Option<&Fault>) -> Value {
    let input: Vec<_> = series
        .iter()
        .filter(|(_, values)| !values.is_empty())
        .map(|(series, values)| json!({ "series": series, "values": values }))
        .collect();
    let expected = |alert: &str| match fault {
        Some(Fault { alert: raised, labels, summary, .. }) if *raised == alert => {
            let labels: BTreeMap<_, _> = labels.iter().copied().collect();
            json!([{ "exp_labels": labels, "exp_annotations": { "summary": summary } }])
        }
        _ => json!([]),
    };
    let checks: Vec<_> = alerts
        .iter()
        .map(|alert| json!({ "eval_time": "30m", "alertname": alert, "exp_alerts": expected(alert) }))
        .collect();
    json!({ "name": name, "interval": "1m", "input_series": input, "alert_rule_test": checks })
}

#[tokio::test]
async fn e2e_monitoring_each_alert_is_raised_by_what_it_is_about() -> anyhow::Result<()> {
    let rules = rules().await?;
    let alerts: BTreeSet<_> = each(&rules).filter_map(|rule| rule["alert"].as_str()).collect();
    assert_eq!(alerts, FAULTS.iter().map(|fault| fault.alert).collect(), "each alert has its fault");
    let mut tests = vec![half_an_hour("all is well", ALL_WELL, &alerts, None)];
    for fault in FAULTS {
        let mut series = ALL_WELL.to_vec();
        for differs in fault.series {
            series.retain(|(name, _)| *name != differs.0);
            series.push(*differs);
        }
        tests.push(half_an_hour(fault.summary, &series, &alerts, Some(fault)));
    }
    let folder = Scratch::new()?;
    std::fs::write(folder.path().join(FILE), rules.to_string())?;
    let tests = json!({ "rule_files": [FILE], "evaluation_interval": "1m", "tests": tests });
    std::fs::write(folder.path().join("tests.yaml"), tests.to_string())?;
    promtool(folder.path(), &["test", "rules", "tests.yaml"]).await?;
    Ok(())
}

/// Whoever is woken by an alert finds what to do.
#[tokio::test]
async fn e2e_monitoring_the_documentation_says_what_to_do_about_each_alert() -> anyhow::Result<()> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md"))?;
    let rules = rules().await?;
    for alert in each(&rules).map(|rule| rule["alert"].as_str().context("an alert")) {
        let row = format!("| `{}` |", alert?);
        ensure!(page.contains(&row), "docs/operations.md has no row {row}");
    }
    Ok(())
}
