//! The arguments of the webhook.

use std::{net::SocketAddr, process::ExitCode};

use clap::Parser;
use rustls_pki_types::ServerName;
use tentacular_contract::Platform;
use tentacular_process::{Part, ProcessArgs};

use crate::command::Command;

/// The validating admission webhook of tentacular-mcp.
#[derive(Debug, Parser)]
#[command(name = "tentacular-webhook", version, args_conflicts_with_subcommands = true)]
pub struct Args {
    /// Address on which the API server calls, with TLS.
    #[arg(long, env = "TENTACULAR_WEBHOOK_LISTEN_ADDR", default_value = "0.0.0.0:8443")]
    pub listen: SocketAddr,
    /// Name of the Service in front of the webhook, in the server's namespace; its certificate is issued for it.
    #[arg(long, env = "TENTACULAR_WEBHOOK_SERVICE", default_value = "tentacular-webhook")]
    pub service: String,
    /// Further DNS names and IP addresses for the certificate, separated by commas. The same for all replicas.
    #[arg(long, env = "TENTACULAR_WEBHOOK_EXTRA_NAMES", value_delimiter = ',', value_parser = server_name)]
    pub extra_names: Vec<ServerName<'static>>,
    /// Name of the `ValidatingWebhookConfiguration` that gets the CA.
    #[arg(long, env = "TENTACULAR_WEBHOOK_CONFIGURATION", default_value = "tentacular-webhook")]
    pub configuration: String,
    /// How long a certificate that the webhook issues is valid, in seconds, 60 to 315360000; a year by default. It is
    /// replaced when two thirds of that are over. The same for all replicas.
    #[arg(long, env = "TENTACULAR_WEBHOOK_CERTIFICATE_LIFE_SECONDS", default_value_t = 31_536_000, value_parser = clap::value_parser!(u64).range(60..=315_360_000))]
    pub certificate_life_seconds: u64,
    /// Name of a Secret in the server's namespace that somebody else keeps a certificate in, such as cert-manager: ca.crt,
    /// tls.crt and tls.key. Left out, the webhook issues its own. The same for all replicas.
    #[arg(long, env = "TENTACULAR_WEBHOOK_CERTIFICATE_SECRET")]
    pub certificate_secret: Option<String>,
    /// Name in which this process stands for leader, which no other webhook has at the same time: the pod's name. Left
    /// out, a random one.
    #[arg(long, env = "POD_NAME")]
    pub identity: Option<String>,
    /// What all processes share.
    #[command(flatten)]
    pub platform: Platform,
    /// What every process takes.
    #[command(flatten)]
    pub process: ProcessArgs,
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
}

fn server_name(text: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(text.trim().to_owned()).map_err(|_| "give a DNS name or an IP address".to_owned())
}

impl Part for Args {
    const NAME: &'static str = "webhook";
    const OBSERVE_PORT: u16 = 8081;

    fn process(&self) -> &ProcessArgs {
        &self.process
    }

    fn subcommand(&mut self) -> Option<anyhow::Result<ExitCode>> {
        Some(self.command.take()?.run())
    }
}

/// The names under which the API server may call: the Service's, and `extra`.
///
/// # Errors
/// When service, namespace and domain make no DNS name.
pub(crate) fn serving_names(
    service: &str,
    namespace: &str,
    domain: &str,
    extra: Vec<ServerName<'static>>,
) -> anyhow::Result<Vec<ServerName<'static>>> {
    let mut names = Vec::new();
    for name in [format!("{service}.{namespace}.svc"), format!("{service}.{namespace}.svc.{domain}")] {
        let valid = ServerName::try_from(name.clone()).map_err(|_| {
            anyhow::anyhow!("'{name}' is no DNS name: see --service, --server-namespace, --cluster-domain")
        })?;
        names.push(valid);
    }
    names.extend(extra);
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_service_and_the_extra_list() {
        let args =
            Args::try_parse_from(["webhook", "--extra-names", "127.0.0.1,localhost"]).expect("valid arguments");
        let names = serving_names("hook", "system", "cluster.local", args.extra_names).expect("names");
        let texts: Vec<_> = names.iter().map(|name| name.to_str().into_owned()).collect();
        assert_eq!(texts, ["hook.system.svc", "hook.system.svc.cluster.local", "127.0.0.1", "localhost"]);
        assert!(serving_names("a b", "system", "cluster.local", Vec::new()).is_err());
        for bad in [["--extra-names", "a b"], ["--certificate-life-seconds", "59"]] {
            assert!(Args::try_parse_from(["webhook"].into_iter().chain(bad)).is_err(), "{bad:?}");
        }
    }
}
