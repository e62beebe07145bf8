//! The chart as the real helm renders it.

use std::{
    collections::BTreeMap,
    process::Stdio,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::{Scratch, binaries, installation::SERVER_NAMESPACE, services::packages::GoPackage};

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

/// The chart's values as they are when nobody sets any.
///
/// # Errors
/// When values.yaml cannot be read.
pub fn values() -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(format!("{CHART}/values.yaml")).context("the chart's values.yaml")?;
    Ok(serde_saphyr::from_str(&text)?)
}

/// The objects in some of the chart's templates, with all values as given. The chart's schema does not see these, so that they
/// may be marks that tell where each value goes.
///
/// # Errors
/// What helm says.
pub async fn render_unchecked(templates: &[&str], values: &Value) -> anyhow::Result<Vec<Value>> {
    let scratch = Scratch::new()?;
    let file = scratch.path().join("values.json");
    std::fs::write(&file, values.to_string())?;
    run(templates, &["--skip-schema-validation".to_owned(), format!("--values={}", file.display())]).await
}

/// The objects in some of the chart's templates (all where `templates` is empty), with values set as `--set` takes them.
/// What this process had rendered before is not rendered again.
///
/// # Errors
/// What helm says: that a value is missing or wrong.
pub async fn render(templates: &[&str], values: &[&str]) -> anyhow::Result<Vec<Value>> {
    static RENDERED: Mutex<BTreeMap<[Vec<String>; 2], Vec<Value>>> = Mutex::new(BTreeMap::new());
    let asked = [templates, values].map(|texts| texts.iter().map(|&text| text.to_owned()).collect());
    let rendered = || RENDERED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(objects) = rendered().get(&asked) {
        return Ok(objects.clone());
    }
    let objects = run(templates, &values.iter().map(|value| format!("--set={value}")).collect::<Vec<_>>()).await?;
    rendered().insert(asked, objects.clone());
    Ok(objects)
}

async fn run(templates: &[&str], args: &[String]) -> anyhow::Result<Vec<Value>> {
    let mut helm = helm().await?;
    helm.args(["template", "tentacular-mcp", CHART, "--namespace", SERVER_NAMESPACE]).args(args);
    helm.args(["--kube-version", binaries::version()?]);
    for template in templates {
        helm.arg(format!("--show-only=templates/{template}"));
    }
    let output = helm.output().await.context("cannot run helm")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    let objects: Vec<Value> =
        serde_saphyr::from_multiple(std::str::from_utf8(&output.stdout)?).context("what helm rendered is no YAML")?;
    Ok(objects.into_iter().filter(|object| !object.is_null()).collect())
}
