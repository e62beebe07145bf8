//! Where the server is and how tentacles are admitted to it, out of arguments and a mounted Secret.

use std::{fs, path::PathBuf};

use async_nats::ServerAddr;
use chrono::TimeDelta;
use clap::Args;
use ipnet::IpNet;
use nkeys::{KeyPair, KeyPairType};

use super::{
    accounts::Accounts,
    allowance::{Allowance, AllowanceArgs},
    authority::Authority,
    connect::Server,
    jwt::Signer,
    shared::Shared,
    spiffe::SpiffeArgs,
};
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
    /// Public key of an account (A…) on a server in operator mode. Tentacles are users of it, unless they get accounts of their own.
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
    /// Seed of the operator's key, or of a signing key of it (SO…), the one that signed the account. By it each tentacle gets an
    /// account of its own. Left out, they share one, and a credential works until it expires.
    #[arg(
        id = "nats-operator-key",
        long = "nats-operator-key",
        env = "TENTACULAR_NATS_OPERATOR_KEY",
        hide_env_values = true
    )]
    operator_key: Option<Password>,
    /// Credentials (the text of a creds file) of a user of the system account, who tells the server of tentacles' accounts.
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
    /// Days after which a tentacle's user expires. In the last third of them it is renewed.
    #[arg(
        id = "nats-credential-days", long = "nats-credential-days", env = "TENTACULAR_NATS_CREDENTIAL_DAYS",
        default_value_t = 90, value_parser = clap::value_parser!(u16).range(1..)
    )]
    days: u16,
    #[command(flatten)]
    allowance: AllowanceArgs,
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
    #[command(flatten)]
    spiffe: SpiffeArgs,
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
    /// Each as a user of one account.
    Shared(Box<Shared>),
    /// Each as a user of an account of its own.
    Accounts(Box<Accounts>),
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
        self.path.is_some() || self.spiffe.is_enabled() || given.any(|text| !text.is_empty())
    }

    /// Where tentacles' entries are, and whether they have any.
    pub(in crate::backing) const fn spiffe(&self) -> &SpiffeArgs {
        &self.spiffe
    }

    /// The server as it is now, where it admits tentacles by their identity. The error names all that is missing or wrong.
    pub(super) fn server_alone(&self) -> Result<Server, String> {
        let mut problems = Vec::new();
        let [url, others @ ..] = self.given(&mut problems);
        let address = match url.as_deref().map(address) {
            None => Err("nats partially configured, missing: url".to_owned()),
            Some(address) => address,
        };
        if others.iter().any(Option::is_some) {
            problems.push("give NATS a token, a signing key or nats-spiffe, and only one of them".to_owned());
        }
        if self.allowance.allowance().any() {
            problems.push(NO_STREAMS.to_owned());
        }
        match address {
            Ok(address) if problems.is_empty() => Ok(Server { address, authorities: self.ca_file.clone() }),
            address => Err(address.err().into_iter().chain(problems).collect::<Vec<_>>().join("; ")),
        }
    }

    /// What is set of each field, out of the arguments and the mounted Secret.
    fn given(&self, problems: &mut Vec<String>) -> [Option<String>; FIELDS.len()] {
        let [token, signing_key, operator_key, system_creds] =
            [&self.token, &self.signing_key, &self.operator_key, &self.system_creds]
                .map(|secret| secret.as_ref().map(|secret| &secret.0));
        let arguments = [self.url.as_ref(), token, self.account.as_ref(), signing_key, operator_key, system_creds];
        given(FIELDS, arguments, self.path.as_deref(), problems)
    }

    /// The settings as they are now. The error names all that is missing or wrong.
    pub(super) fn now(&self) -> Result<Settings, String> {
        let (mut problems, allowance) = (Vec::new(), self.allowance.allowance());
        let [url, token, account, signing_key, operator_key, system_creds] = self.given(&mut problems);
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
                jwt(keys, allowance, &mut missing, &mut problems)
            }
        };
        if allowance.any() && !matches!(mode, None | Some(Mode::Accounts(_))) {
            problems.push(NO_STREAMS.to_owned());
        }
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
                         key (TENTACULAR_NATS_SIGNING_KEY, TENTACULAR_NATS_ACCOUNT), a token (TENTACULAR_NATS_TOKEN), or \
                         TENTACULAR_NATS_SPIFFE_ENABLED";

/// What is said where tentacles are to have streams and cannot.
const NO_STREAMS: &str = "nats-jetstream-disk-mib and nats-jetstream-memory-mib need operator_key and system_creds: JetStream is for \
                          accounts that have one tentacle only";

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
    allowance: Allowance,
    missing: &mut Vec<&'static str>,
    problems: &mut Vec<String>,
) -> Option<Mode> {
    let own = operator_key.is_some() || system_creds.is_some();
    let given = [
        ("account", account.is_some()),
        ("signing_key", signing_key.is_some()),
        ("operator_key", operator_key.is_some() || !own),
        ("system_creds", system_creds.is_some() || !own),
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
    let (account, key) = (account?, signing_key?);
    Some(match authority {
        None => Mode::Shared(Box::new(Shared { signer: Signer { account, key, streams: false } })),
        Some(authority) => Mode::Accounts(Box::new(Accounts { authority, configured: account, key, allowance })),
    })
}

fn is_account(key: &str) -> bool {
    KeyPair::from_public_key(key).is_ok_and(|key| key.key_pair_type() == KeyPairType::Account)
}
