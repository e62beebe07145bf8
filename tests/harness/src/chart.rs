//! The chart as the real helm renders it.

use std::process::Stdio;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::{binaries, installation::SERVER_NAMESPACE, services::packages::GoPackage};

/// The chart's folder.
pub const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../charts/tentacular-mcp");

const HELM: GoPackage = GoPackage { path: "helm.sh/helm/v3/cmd/helm", version: "v3.19.5", takes: "3 minutes" };

/// A helm command, which ends with the caller.
///
/// # Errors
/// When helm is not in the cache yet and cannot be built.
pub async fn helm() -> anyhow::Result<Command> {
    let program = HELM.program().await?.context("helm is needed to render the chart")?;
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).kill_on_drop(true);
    Ok(command)
}

/// The objects in some of the chart's templates (all where `templates` is empty), with values set as `--set` takes them.
///
/// # Errors
/// What helm says: that a value is missing or wrong.
pub async fn render(templates: &[&str], values: &[&str]) -> anyhow::Result<Vec<Value>> {
    let mut helm = helm().await?;
    helm.args(["template", "tentacular-mcp", CHART, "--namespace", SERVER_NAMESPACE]);
    helm.args(["--kube-version", binaries::version()?]);
    for template in templates {
        helm.arg(format!("--show-only=templates/{template}"));
    }
    for value in values {
        helm.arg(format!("--set={value}"));
    }
    let output = helm.output().await.context("cannot run helm")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    let objects: Vec<Value> =
        serde_saphyr::from_multiple(std::str::from_utf8(&output.stdout)?).context("what helm rendered is no YAML")?;
    Ok(objects.into_iter().filter(|object| !object.is_null()).collect())
}
