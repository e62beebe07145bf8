//! Prometheus's own reading of rules and expressions.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::ensure;
use tokio::process::Command;

use crate::go_module::GoModule;

const GO_MOD: &str = include_str!("../promtool/go.mod");
const GO_SUM: &str = include_str!("../promtool/go.sum");

/// Runs promtool in a folder, and gives what it prints.
///
/// # Errors
/// When promtool is not in the cache yet and cannot be built, and when it fails: what it says.
pub async fn promtool(folder: &Path, args: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new(program().await?);
    let output = command.args(args).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true).output().await?;
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    ensure!(output.status.success(), "promtool {}: {said}", args.join(" "));
    Ok(said)
}

/// The program, built when it is not in the cache.
pub(crate) async fn program() -> anyhow::Result<PathBuf> {
    let module = GoModule {
        name: "promtool",
        version: "0.308.1",
        sources: &[GO_MOD, GO_SUM],
        packages: &["github.com/prometheus/prometheus/cmd/promtool"],
        programs: &[],
        linker_flags: "-s -w".to_owned(),
        takes: "2 minutes",
    };
    Ok(module.folder().await?.join(module.name))
}
