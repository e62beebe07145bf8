//! The arguments of the webhook.

use std::net::SocketAddr;

use clap::Parser;
use rustls_pki_types::ServerName;
use tentacular_contract::Platform;
use tentacular_process::{Part, ProcessArgs};

/// The validating admission webhook of tentacular-mcp.
#[derive(Debug, Parser)]
#[command(name = "tentacular-webhook", version)]
pub(crate) struct Args {
    /// Address on which the API server calls, with TLS.
    #[arg(long, env = "TENTACULAR_WEBHOOK_LISTEN_ADDR", default_value = "0.0.0.0:8443")]
    pub(crate) listen: SocketAddr,
    /// Name of the Service in front of the webhook, in the server's namespace; its certificate is issued for it.
    #[arg(long, env = "TENTACULAR_WEBHOOK_SERVICE", default_value = "tentacular-webhook")]
    pub(crate) service: String,
    /// Further DNS names and IP addresses for the certificate, separated by commas. The same for all replicas.
    #[arg(long, env = "TENTACULAR_WEBHOOK_EXTRA_NAMES", value_delimiter = ',', value_parser = server_name)]
    pub(crate) extra_names: Vec<ServerName<'static>>,
    /// Name of the `ValidatingWebhookConfiguration` that gets the CA.
    #[arg(long, env = "TENTACULAR_WEBHOOK_CONFIGURATION", default_value = "tentacular-webhook")]
    pub(crate) configuration: String,
    /// What all processes share.
    #[command(flatten)]
    pub(crate) platform: Platform,
    /// What every process takes.
    #[command(flatten)]
    pub(crate) process: ProcessArgs,
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
        assert!(Args::try_parse_from(["webhook", "--extra-names", "a b"]).is_err());
    }
}
