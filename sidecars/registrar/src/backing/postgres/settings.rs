//! Where the database is and who administers it, out of arguments and a mounted Secret.

use std::path::PathBuf;

use clap::Args;
use ipnet::IpNet;

use crate::backing::{
    network::Whereabouts,
    setting::{Password, given, label, missing},
};

/// Port of PostgreSQL where none is given.
const PORT: u16 = 5432;
/// Database where none is given.
const DATABASE: &str = "tentacular";
/// The files of a mounted Secret.
const FIELDS: [&str; 5] = ["host", "port", "database", "user", "password"];

/// Arguments of PostgreSQL, under the variables that installations have.
#[derive(Debug, Args)]
#[command(next_help_heading = "PostgreSQL")]
pub(crate) struct PostgresArgs {
    /// Host of the PostgreSQL server, as tentacles reach it too.
    #[arg(id = "postgres-host", long = "postgres-host", env = "TENTACULAR_POSTGRES_ADMIN_HOST")]
    host: Option<String>,
    /// Its port [default: 5432].
    #[arg(id = "postgres-port", long = "postgres-port", env = "TENTACULAR_POSTGRES_ADMIN_PORT")]
    port: Option<String>,
    /// The database in which each tentacle gets a schema; it is for tentacles alone [default: tentacular].
    #[arg(id = "postgres-database", long = "postgres-database", env = "TENTACULAR_POSTGRES_ADMIN_DATABASE")]
    database: Option<String>,
    /// A role that owns the database and has CREATEROLE; it need not be a superuser.
    #[arg(id = "postgres-user", long = "postgres-user", env = "TENTACULAR_POSTGRES_ADMIN_USER")]
    user: Option<String>,
    /// Its password.
    #[arg(
        id = "postgres-password",
        long = "postgres-password",
        env = "TENTACULAR_POSTGRES_ADMIN_PASSWORD",
        hide_env_values = true
    )]
    password: Option<Password>,
    /// Folder of a mounted Secret with files host, port, database, user and password, for what no other argument gives. It is
    /// read again for every connection.
    #[arg(id = "postgres-path", long = "postgres-path", env = "TENTACULAR_POSTGRES_ADMIN_PATH")]
    path: Option<PathBuf>,
    /// How connections are protected: not at all, by TLS to whoever answers, to a server with a certificate of a trusted
    /// authority, or also of its name.
    #[arg(
        id = "postgres-sslmode",
        long = "postgres-sslmode",
        env = "TENTACULAR_POSTGRES_SSLMODE",
        default_value = "disable"
    )]
    pub(super) sslmode: SslMode,
    /// PEM file of the certificate authorities that are trusted for it, instead of the system's.
    #[arg(id = "postgres-ca-file", long = "postgres-ca-file", env = "TENTACULAR_POSTGRES_CA_CERT_PATH")]
    pub(super) ca_file: Option<PathBuf>,
    /// Labels of the server's pods, as key=value with commas between them, when it runs in the cluster: tentacles may connect to
    /// no other pods of its namespace. Left out, to all.
    #[arg(id = "postgres-pods", long = "postgres-pods", env = "TENTACULAR_POSTGRES_PODS", value_delimiter = ',', value_parser = label)]
    pods: Vec<(String, String)>,
    /// Networks (CIDR) that the server is in when it runs elsewhere, with commas between them: tentacles may connect to its port
    /// in no others. Left out, in any.
    #[arg(
        id = "postgres-networks",
        long = "postgres-networks",
        env = "TENTACULAR_POSTGRES_NETWORKS",
        value_delimiter = ','
    )]
    networks: Vec<IpNet>,
}

/// How connections are protected, in libpq's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum SslMode {
    Disable,
    Require,
    VerifyCa,
    VerifyFull,
}

/// Where the database is and who connects to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) database: String,
    pub(super) user: String,
    pub(super) password: Password,
}

impl PostgresArgs {
    /// Whether anything says where the database is or who administers it.
    pub(crate) fn is_configured(&self) -> bool {
        let given =
            [&self.host, &self.user].into_iter().any(|text| text.as_ref().is_some_and(|text| !text.is_empty()));
        given || self.path.is_some() || self.password.as_ref().is_some_and(|password| !password.0.is_empty())
    }

    #[cfg(test)]
    pub(super) fn set_host(&mut self, host: &str) {
        self.host = Some(host.to_owned());
    }

    /// Where the server is in the network.
    pub(super) fn whereabouts(&self) -> Whereabouts {
        Whereabouts::new(&self.pods, &self.networks)
    }

    /// The administrator's login as it is set now. The error names all that is missing or wrong.
    pub(super) fn administrator(&self) -> Result<Login, String> {
        let password = self.password.as_ref().map(|password| &password.0);
        let arguments =
            [self.host.as_ref(), self.port.as_ref(), self.database.as_ref(), self.user.as_ref(), password];
        let mut problems = Vec::new();
        let [host, port, database, user, password] = given(FIELDS, arguments, self.path.as_deref(), &mut problems);
        let port =
            port.map_or(Ok(PORT), |port| port.parse().map_err(|_| "port is no number from 1 to 65535".to_owned()));
        problems.extend(missing([
            ("host", host.is_some()),
            ("user", user.is_some()),
            ("password", password.is_some()),
        ]));
        match (host, port, user, password) {
            (Some(host), Ok(port), Some(user), Some(password)) if problems.is_empty() => {
                let database = database.unwrap_or_else(|| DATABASE.to_owned());
                Ok(Login { host, port, database, user, password: Password(password) })
            }
            (_, port, ..) => {
                problems.extend(port.err());
                Err(problems.join("; "))
            }
        }
    }
}
