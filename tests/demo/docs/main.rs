//! Writes the pages that are made of what the product says of itself, or says whether they are still what would be written:
//! docs/tools.md from what the sidecars list, docs/settings.md and docs/metrics.md from what the processes tell, and the chart's
//! README from its values.

mod listed;
mod metrics;
mod page;
mod permission;
mod schema;
mod settings;
mod started;
mod text;
mod values;

use std::{fs, path::Path, process::ExitCode};

use anyhow::{Context as _, ensure};
use clap::Parser;
use tentacular_demo::say;
use tentacular_test_harness::chart::CHART;

use self::started::Started;

/// Writes docs/tools.md, docs/settings.md, docs/metrics.md and the chart's README.
#[derive(Debug, Parser)]
struct Args {
    /// Write nothing; fail when a page is not what would be written.
    #[arg(long)]
    check: bool,
}

/// The folder of the pages.
const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs");

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> anyhow::Result<()> {
    let chart = Path::new(CHART);
    let values = fs::read_to_string(chart.join("values.yaml")).context("the chart's values.yaml")?;
    keep(&chart.join("README.md"), &values::page(&values)?, args.check).context("the chart's README.md")?;
    let (docs, started) = (Path::new(DOCS), Started::new().await?);
    let tools = page::page(&listed::all(&started).await?)?;
    keep(&docs.join("tools.md"), &tools, args.check).context("docs/tools.md")?;
    let metrics = metrics::page(&started.metrics().await?)?;
    keep(&docs.join("metrics.md"), &metrics, args.check).context("docs/metrics.md")?;
    keep(&docs.join("settings.md"), &settings::page().await?, args.check).context("docs/settings.md")
}

/// Writes the page, or checks that it is what would be written.
fn keep(path: &Path, page: &str, check: bool) -> anyhow::Result<()> {
    if !check {
        return fs::write(path, page).context("cannot be written");
    }
    let written = fs::read_to_string(path).context("cannot be read; `make docs` writes it")?;
    if let Some((line, now)) = first_difference(&written, page) {
        let cut: String = now.chars().take(100).collect();
        ensure!(
            false,
            "stale from line {line} on, which would be {cut:?}; run `make docs` and commit what it writes"
        );
    }
    Ok(())
}

/// The number of the first line that differs, and how it should be.
fn first_difference<'a>(written: &str, page: &'a str) -> Option<(usize, &'a str)> {
    if written == page {
        return None;
    }
    let same = written.lines().zip(page.lines()).take_while(|(one, other)| one == other).count();
    Some((same + 1, page.lines().nth(same).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_stale_from_its_first_other_line_on() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some((2, "c")));
        assert_eq!(first_difference("a\nb\n", "a\n"), Some((2, "")));
        assert_eq!(first_difference("a\n", "a\nb\n"), Some((2, "b")));
        assert_eq!(first_difference("a", "a\n"), Some((2, "")));
    }
}
