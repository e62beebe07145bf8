//! Where and of what the figures are.

use std::{fs, process::Command, thread};

use anyhow::{Context as _, ensure};
use k8s_openapi::jiff::Timestamp;
use kube::Client;

/// The machine, and what was measured on it, as Markdown.
pub(super) async fn facts(admin: &Client) -> anyhow::Result<String> {
    let version = admin.apiserver_version().await?.git_version;
    let processor = fs::read_to_string("/proc/cpuinfo")?;
    let processor = member(&processor, "model name").unwrap_or("a processor that gives no name");
    let memory = fs::read_to_string("/proc/meminfo")?;
    let memory: u64 = member(&memory, "MemTotal").context("no MemTotal")?.trim_end_matches(" kB").parse()?;
    let cores = thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(format!(
        "{day}, revision {revision}, release build of {compiler}, Kubernetes {version}. {cores} cores of {processor}, {memory} GB, \
         Linux {kernel}; the load, etcd and the API server share the machine with what is measured.\n",
        day = Timestamp::now().strftime("%Y-%m-%d"),
        revision = said("git", &["describe", "--always", "--dirty", "--exclude=*"])?,
        compiler = said("rustc", &["--version"])?,
        memory = (memory * 1024).div_ceil(1_000_000_000),
        kernel = kernel.trim(),
    ))
}

/// The value in a line `name : value`.
fn member<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let values = text.lines().filter_map(|line| line.split_once(':'));
    values.into_iter().find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
}

fn said(program: &str, args: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program).args(args).output().with_context(|| format!("{program} does not run"))?;
    ensure!(output.status.success(), "{program} failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
