//! What the chart offers to Prometheus and Grafana fits what the processes expose.

mod exposed;
mod expression;
mod faults;
mod rules;

use anyhow::Context as _;
use serde_json::Value;
use tentacular_test_harness::chart::render;

/// The objects for monitoring, by their kinds.
async fn object(kind: &str) -> anyhow::Result<Value> {
    let all = ["podMonitor", "rules", "dashboard"].map(|part| format!("monitoring.{part}.enabled=true"));
    let objects = render(&["monitoring.yaml"], &all.each_ref().map(String::as_str)).await?;
    objects.into_iter().find(|object| object["kind"] == kind).with_context(|| format!("no {kind}"))
}

/// The rules, as Prometheus reads them from a file.
async fn rules() -> anyhow::Result<Value> {
    Ok(object("PrometheusRule").await?["spec"].take())
}

/// All rules of all groups.
fn each(rules: &Value) -> impl Iterator<Item = &Value> {
    rules["groups"].as_array().into_iter().flatten().flat_map(|group| group["rules"].as_array().into_iter().flatten())
}

/// What the dashboard's panels ask for, with a range in place of Grafana's variable.
async fn asked_by_dashboard() -> anyhow::Result<Vec<String>> {
    let map = object("ConfigMap").await?;
    let text = map["data"]["tentacular-mcp.json"].as_str().context("no dashboard")?;
    let dashboard: Value = serde_json::from_str(text)?;
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    Ok(targets
        .filter_map(|target| target["expr"].as_str())
        .map(|text| text.replace("$__rate_interval", "5m"))
        .collect())
}
