//! The images that the chart and the example name are those that `make images` builds, from a Dockerfile that fits this workspace.

use std::{collections::BTreeSet, fs, process::Command};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tentacular_test_harness::chart::render;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
const PROCESSES: [&str; 5] = ["auditor", "kernel", "registrar", "scheduler", "webhook"];

/// What `make images` calls its images.
fn built() -> anyhow::Result<BTreeSet<String>> {
    let output =
        Command::new("make").args(["--silent", "--no-print-directory", "image-names"]).current_dir(ROOT).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
}

fn image(process: &str) -> String {
    format!("ghcr.io/randybias/tentacular-mcp/tentacular-{process}:{}", env!("CARGO_PKG_VERSION"))
}

/// The images of all containers in some rendered objects.
fn named(objects: &[Value]) -> BTreeSet<String> {
    fn visit(value: &Value, images: &mut BTreeSet<String>) {
        match value {
            Value::Array(values) => values.iter().for_each(|value| visit(value, images)),
            Value::Object(members) => {
                images.extend(members.get("image").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|value| visit(value, images));
            }
            _ => {}
        }
    }
    let mut images = BTreeSet::new();
    for object in objects {
        visit(object, &mut images);
    }
    images
}

#[tokio::test]
async fn e2e_images_the_chart_and_the_example_name_the_images_that_are_built() -> anyhow::Result<()> {
    let processes = named(&render(&[], &[]).await?);
    ensure!(processes == PROCESSES.map(image).into(), "{processes:?}");
    let example = fs::read_to_string(format!("{ROOT}/examples/word-count/manifests.json"))?;
    let engine = named(&serde_json::from_str::<Vec<_>>(&example)?);
    ensure!(engine == [image("example-engine")].into(), "{engine:?}");
    let built = built()?;
    ensure!(built == &processes | &engine, "{built:?}");
    Ok(())
}

#[tokio::test]
async fn e2e_images_a_part_may_have_an_image_of_its_own_in_each_respect() -> anyhow::Result<()> {
    let digest = format!("sha256:{}", "0a".repeat(32));
    let set = [
        "image.registry=registry.example:5000".to_owned(),
        "image.tag=v2".to_owned(),
        "image.repository=mirror".to_owned(),
        "registrar.image.registry=other.example".to_owned(),
        "scheduler.image.repository=mine/scheduler".to_owned(),
        "auditor.image.tag=v3".to_owned(),
        format!("webhook.image.digest={digest}"),
    ];
    let named = named(&render(&[], &set.each_ref().map(String::as_str)).await?);
    let wanted = [
        "registry.example:5000/mirror/tentacular-kernel:v2",
        "other.example/mirror/tentacular-registrar:v2",
        "registry.example:5000/mine/scheduler:v2",
        "registry.example:5000/mirror/tentacular-auditor:v3",
        &format!("registry.example:5000/mirror/tentacular-webhook:v2@{digest}"),
    ];
    ensure!(named == wanted.map(str::to_owned).into(), "{named:?}");
    let error = render(&[], &["webhook.image.digest=0a"]).await.expect_err("no digest").to_string();
    ensure!(error.contains("/webhook/image/digest"), "{error}");
    Ok(())
}

#[test]
fn e2e_images_the_dockerfile_has_a_stage_for_each_image_and_the_pinned_toolchain() -> anyhow::Result<()> {
    let dockerfile = fs::read_to_string(format!("{ROOT}/Dockerfile"))?;
    let stages: BTreeSet<_> = dockerfile.lines().filter_map(|line| line.strip_prefix("FROM base AS ")).collect();
    ensure!(stages.iter().map(|stage| image(stage)).collect::<BTreeSet<_>>() == built()?, "{stages:?}");

    let toolchain = fs::read_to_string(format!("{ROOT}/rust-toolchain.toml"))?;
    let version = toolchain.split('"').nth(1).context("the channel comes first")?;
    for line in [
        format!("FROM docker.io/library/rust:{version}-bookworm AS build"),
        format!("ENV RUSTUP_TOOLCHAIN={version}"),
    ] {
        ensure!(dockerfile.lines().any(|there| there == line), "no line {line:?} in the Dockerfile");
    }
    Ok(())
}
