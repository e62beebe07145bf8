//! Where the server is and how tentacles are admitted to it, out of arguments and a mounted Secret.

use std::{fs, path::PathBuf};

use async_nats::ServerAddr;
use chrono::TimeDelta;
use clap::Args;
use ipnet::IpNet;
use nkeys::{KeyPair, KeyPairType};

use super::{account::Authority, connect::Server, jwt::Signer};
use crate::backing::{
    network::Whereabouts,
    setting::{Password, given, label},
};

/// The files of a mounted Secret.
const FIELDS: [&str; 6] = ["url", "token", "account", "signing_key", "operator_key", "system_creds"];

/// Arguments of NATS, under the variables that installations have.
#[derive(Debug, Args)]
#[command(next_help_heading = "NATS")]
pub(crate) struct NatsArgs {
    /// URL of the NATS server, nats://host:port or tls://host:port, as tentacles reach it too.
    #[arg(id = "nats-url", long = "nats-url", env = "TENTACULAR_NATS_URL")]
    url: Option<String>,
    /// Token of the server. Every tentacle is given it, so that none is kept apart from the others.
    #[arg(id = "nats-token", long = "nats-token", env = "TENTACULAR_NATS_TOKEN", hide_env_values = true)]
    token: Option<Password>,
    /// Public key of the account (A…) that tentacles are users of, on a server in operator mode.
    #[arg(id = "nats-account", long = "nats-account", env = "TENTACULAR_NATS_ACCOUNT")]
    account: Option<String>,
    /// Seed of a signing key of that account (SA…), by which each tentacle gets a user of its own.
    #[arg(
        id = "nats-signing-key",
        long = "nats-signing-key",
        env = "TENTACULAR_NATS_SIGNING_KEY",
        hide_env_values = true
    )]
    signing_key: Option<Password>,
    /// Seed of the operator's key, or of a signing key of it (SO…), by which users are revoked. Left out, a credential works
    /// until it expires.
    #[arg(
        id = "nats-operator-key",
        long = "nats-operator-key",
        env = "TENTACULAR_NATS_OPERATOR_KEY",
        hide_env_values = true
    )]
    operator_key: Option<Password>,
    /// Credentials (the text of a creds file) of a user of the system account, who tells the server of what is revoked.
    #[arg(
        id = "nats-system-creds",
        long = "nats-system-creds",
        env = "TENTACULAR_NATS_SYSTEM_CREDS",
        hide_env_values = true
    )]
    system_creds: Option<Password>,
    /// Folder of a mounted Secret with files url, token, account, `signing_key`, `operator_key` and `system_creds`, for what no
    /// other argument gives. It is read again for every connection.
    #[arg(id = "nats-path", long = "nats-path", env = "TENTACULAR_NATS_PATH")]
    path: Option<PathBuf>,
    /// PEM file of the certificate authorities that are trusted for the server, instead of the system's.
    #[arg(id = "nats-ca-file", long = "nats-ca-file", env = "TENTACULAR_NATS_CA_CERT_PATH")]
    ca_file: Option<PathBuf>,
    /// Days after which a tentacle's user expires. A `wf_apply` in the last third of them renews it.
    #[arg(
        id = "nats-credential-days", long = "nats-credential-days", env = "TENTACULAR_NATS_CREDENTIAL_DAYS",
        default_value_t = 90, value_parser = clap::value_parser!(u16).range(1..)
    )]
    days: u16,
    /// Labels of the server's pods, as key=value with commas between them, when it runs in the cluster: tentacles may connect to
    /// no other pods of its namespace. Left out, to all.
    #[arg(
        id = "nats-pods", long = "nats-pods", env = "TENTACULAR_NATS_PODS", value_delimiter = ',', value_parser = label
    )]
    pods: Vec<(String, String)>,
    /// Networks (CIDR) that the server is in when it runs elsewhere, with commas between them: tentacles may connect to its port
    /// in no others. Left out, in any.
    #[arg(id = "nats-networks", long = "nats-networks", env = "TENTACULAR_NATS_NETWORKS", value_delimiter = ',')]
    networks: Vec<IpNet>,
}

/// The settings as they are now.
pub(super) struct Settings {
    pub(super) server: Server,
    pub(super) mode: Mode,
}

/// How tentacles are admitted.
pub(super) enum Mode {
    /// All by the server's own token.
    Token(Password),
    /// Each by a token about a key of its own.
    Jwt(Box<Keys>),
}

/// Who makes users, and who may revoke them, if anybody.
pub(super) struct Keys {
    pub(super) signer: Signer,
    pub(super) authority: Option<Authority>,
}

impl NatsArgs {
    /// How long a tentacle's user lasts.
    pub(super) fn lifetime(&self) -> TimeDelta {
        TimeDelta::days(self.days.into())
    }

    /// Where the server is in the network.
    pub(super) fn whereabouts(&self) -> Whereabouts {
        Whereabouts::new(&self.pods, &self.networks)
    }

    /// Whether anything says where the server is or who is admitted.
    pub(super) fn is_configured(&self) -> bool {
        let secrets = [&self.token, &self.signing_key, &self.operator_key, &self.system_creds];
        let mut given = secrets.into_iter().flatten().map(|secret| &secret.0).chain(&self.url).chain(&self.account);
        self.path.is_some() || given.any(|text| !text.is_empty())
    }

    /// The settings as they are now. The error names all that is missing or wrong.
    pub(super) fn now(&self) -> Result<Settings, String> {
        let [token, signing_key, operator_key, system_creds] =
            [&self.token, &self.signing_key, &self.operator_key, &self.system_creds]
                .map(|secret| secret.as_ref().map(|secret| &secret.0));
        let arguments = [self.url.as_ref(), token, self.account.as_ref(), signing_key, operator_key, system_creds];
        let mut problems = Vec::new();
        let [url, token, account, signing_key, operator_key, system_creds] =
            given(FIELDS, arguments, self.path.as_deref(), &mut problems);
        let mut missing: Vec<_> = url.is_none().then_some("url").into_iter().collect();
        let address = url.and_then(|url| address(&url).map_err(|problem| problems.push(problem)).ok());
        if let Some(path) = &self.ca_file
            && let Err(error) = fs::read(path)
        {
            let path = path.display();
            problems.push(format!("--nats-ca-file (TENTACULAR_NATS_CA_CERT_PATH) {path} cannot be read: {error}"));
        }
        let keys = [account, signing_key, operator_key, system_creds];
        let mode = match (token, keys.iter().any(Option::is_some)) {
            (Some(token), false) => Some(Mode::Token(Password(token))),
            (None, false) => {
                problems.push(NO_METHOD.to_owned());
                None
            }
            (token, true) => {
                if token.is_some() {
                    problems.push("give NATS a token or a signing key, not both".to_owned());
                }
                jwt(keys, &mut missing, &mut problems)
            }
        };
        if !missing.is_empty() {
            problems.insert(0, format!("nats partially configured, missing: {}", missing.join(", ")));
        }
        match (address, mode) {
            (Some(address), Some(mode)) if problems.is_empty() => {
                Ok(Settings { server: Server { address, authorities: self.ca_file.clone() }, mode })
            }
            _ => Err(problems.join("; ")),
        }
    }
}

/// What is said where nothing says how tentacles are admitted.
pub(super) const NO_METHOD: &str = "nats URL configured but no auth method set; give a signing key of an account with the account's public \
                         key (TENTACULAR_NATS_SIGNING_KEY, TENTACULAR_NATS_ACCOUNT), or a token (TENTACULAR_NATS_TOKEN)";

fn address(url: &str) -> Result<ServerAddr, String> {
    // What is wrong is said without the text: it may hold a credential.
    let server: ServerAddr = url.parse().map_err(|_| "the NATS url is none, as nats://host:port".to_owned())?;
    if server.username().is_some() || server.password().is_some() {
        return Err("the NATS url holds a credential; give that as token".to_owned());
    }
    if !["nats", "tls"].contains(&server.scheme()) || server.host().is_empty() || server.host().contains(',') {
        return Err("the NATS url must be that of one server, as nats://host:port or tls://host:port".to_owned());
    }
    Ok(server)
}

fn jwt(
    [account, signing_key, operator_key, system_creds]: [Option<String>; 4],
    missing: &mut Vec<&'static str>,
    problems: &mut Vec<String>,
) -> Option<Mode> {
    let revokes = operator_key.is_some() || system_creds.is_some();
    let given = [
        ("account", account.is_some()),
        ("signing_key", signing_key.is_some()),
        ("operator_key", operator_key.is_some() || !revokes),
        ("system_creds", system_creds.is_some() || !revokes),
    ];
    missing.extend(given.into_iter().filter(|(_, given)| !given).map(|(name, _)| name));
    if account.as_ref().is_some_and(|account| !is_account(account)) {
        problems.push("the NATS account is no public key of an account (A…)".to_owned());
    }
    let mut key = |seed: Option<String>, kind: KeyPairType, problem: &str| {
        let key = KeyPair::from_seed(seed?.trim()).ok().filter(|key| key.key_pair_type() == kind);
        if key.is_none() {
            problems.push(problem.to_owned());
        }
        key
    };
    let signing_key =
        key(signing_key, KeyPairType::Account, "the NATS signing_key is no seed of an account's key (SA…)");
    let operator_key =
        key(operator_key, KeyPairType::Operator, "the NATS operator_key is no seed of an operator's key (SO…)");
    let authority = operator_key.zip(system_creds).map(|(operator, creds)| Authority::new(operator, Password(creds)));
    let signer = Signer { account: account?, key: signing_key? };
    Some(Mode::Jwt(Box::new(Keys { signer, authority })))
}

fn is_account(key: &str) -> bool {
    KeyPair::from_public_key(key).is_ok_and(|key| key.key_pair_type() == KeyPairType::Account)
}
