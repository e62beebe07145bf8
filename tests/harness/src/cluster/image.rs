//! An image made of one static program: an archive as `docker save` writes it.

use std::{fmt::Write as _, path::Path};

use anyhow::{Context as _, ensure};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::process::Command;

/// Writes an image that has nothing but `program`, which it starts.
pub(super) async fn archive(name: &str, program: &Path, to: &Path) -> anyhow::Result<()> {
    let file = program.file_name().and_then(|file| file.to_str()).context("a program without a name")?;
    let folder = tempfile::tempdir()?;
    let layer = folder.path().join("layer.tar");
    tar(&layer, program.parent().context("a program without a folder")?, &[file]).await?;
    let mut digest = "sha256:".to_owned();
    for byte in &Sha256::digest(std::fs::read(&layer)?) {
        write!(digest, "{byte:02x}")?;
    }
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": { "Entrypoint": [format!("/{file}")], "User": "65534:65534" },
        "rootfs": { "type": "layers", "diff_ids": [digest] },
    });
    let manifest = json!([{ "Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"] }]);
    std::fs::write(folder.path().join("config.json"), config.to_string())?;
    std::fs::write(folder.path().join("manifest.json"), manifest.to_string())?;
    tar(to, folder.path(), &["manifest.json", "config.json", "layer.tar"]).await
}

async fn tar(to: &Path, folder: &Path, files: &[&str]) -> anyhow::Result<()> {
    let mut tar = Command::new("tar");
    tar.args(["--owner=0", "--group=0", "--create", "--file"]).arg(to).arg("--directory").arg(folder).args(files);
    let output = tar.output().await.context("cannot run tar")?;
    ensure!(output.status.success(), "tar: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
