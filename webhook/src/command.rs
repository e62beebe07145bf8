//! What the program does besides serving: one thing, and then it ends.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use tentacular_contract::{EnclaveName, Platform, pod_security::Version};
use tokio::sync::watch;

use crate::{
    admit::Installation,
    check::{self, Settings, Severity, Source},
};

/// Status where something could not be read, as for bad arguments.
const UNREADABLE: u8 = 2;

/// A subcommand. Flags of the server do not go with it.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Applies the webhook's rules to objects in files and ends: with status 0, with 1 where one would be refused, or with 2
    /// where something cannot be read.
    ///
    /// Each object is looked at as if it were new. Of its namespace, labels and annotations count where that is in the files
    /// too, and nothing in it is looked at unless it is an enclave; a namespace that is not in the files counts as an enclave
    /// of level restricted.
    ///
    /// What needs the cluster is not checked: who writes and may do so, what is protected or frozen, what other objects there
    /// are, and what the API server itself refuses.
    Check(Check),
}

/// What to check.
#[derive(Debug, Clone, ClapArgs)]
pub struct Check {
    /// Files of YAML or JSON, of several documents, Lists and lists; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Namespace of the objects that name none [default: the only one in the files, else some enclave].
    #[arg(long, short)]
    namespace: Option<EnclaveName>,
    /// The cluster's version of Kubernetes: where a namespace asks for the latest Pod Security, that version's counts.
    #[arg(long, value_name = "VERSION", default_value_t = Version::NEWEST, value_parser = version)]
    kubernetes_version: Version,
    /// How to tell what was found: a `text` line each, or one object of `json`.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    platform: Platform,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Output {
    #[default]
    Text,
    Json,
}

fn version(text: &str) -> Result<Version, &'static str> {
    Version::pinned(text).ok_or("give major and minor version, such as v1.34")
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Check(check) => check.run(),
        }
    }
}

impl Check {
    fn run(self) -> anyhow::Result<ExitCode> {
        let Platform { server_namespace, ingress_domain, reserved_names: _, cluster_domain: _ } = self.platform;
        let installation = Installation { ingress_domain, version: watch::channel(self.kubernetes_version).1 };
        let settings = Settings { installation, server_namespace, namespace: self.namespace.map(String::from) };
        let sources = self.files.iter().map(|path| Source { file: path.display().to_string(), bytes: read(path) });
        let report = check::check(&sources.collect::<Vec<_>>(), &settings);
        let mut out = io::stdout().lock();
        match self.output {
            Output::Text => writeln!(out, "{report}")?,
            Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
        }
        Ok(match report.worst() {
            Some(Severity::Unreadable) => ExitCode::from(UNREADABLE),
            Some(Severity::Refused) => ExitCode::FAILURE,
            Some(Severity::Warning | Severity::Note) | None => ExitCode::SUCCESS,
        })
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    if path.as_os_str() != "-" {
        return fs::read(path);
    }
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::Args;

    #[test]
    fn files_have_to_be_named_and_settings_follow_the_command() {
        for valid in [&["check", "-"][..], &["check", "a.yaml", "--ingress-domain=a.example", "-n", "team-a"]] {
            assert!(Args::try_parse_from([&["webhook"], valid].concat()).is_ok(), "{valid:?}");
        }
        for invalid in [
            &["check"][..],
            // It would not count.
            &["--ingress-domain=a.example", "check", "-"],
            &["check", "-", "--namespace=Team"],
            &["check", "-", "--kubernetes-version=1.34"],
            &["check", "-", "--output=yaml"],
        ] {
            assert!(Args::try_parse_from([&["webhook"], invalid].concat()).is_err(), "{invalid:?}");
        }
    }
}
