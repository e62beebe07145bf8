//! Where the S3 server is and who administers it, out of arguments and a mounted Secret.

use std::path::PathBuf;

use clap::Args;
use ipnet::IpNet;
use reqwest::Url;

use crate::backing::{
    network::Whereabouts,
    setting::{Password, given, label, missing},
};

/// Bucket where none is given.
const BUCKET: &str = "tentacular";
/// Region where none is given.
const REGION: &str = "us-east-1";
/// The files of a mounted Secret.
const FIELDS: [&str; 5] = ["endpoint", "access_key", "secret_key", "bucket", "region"];

/// Arguments of the S3 server, under the variables that installations have.
#[derive(Debug, Args)]
#[command(next_help_heading = "S3")]
pub(crate) struct RustfsArgs {
    /// URL of the S3 server, such as `http://rustfs.data.svc:9000`, as tentacles reach it too.
    #[arg(id = "rustfs-endpoint", long = "rustfs-endpoint", env = "TENTACULAR_RUSTFS_ENDPOINT")]
    endpoint: Option<String>,
    /// Access key of an administrator, who may make users and policies.
    #[arg(id = "rustfs-access-key", long = "rustfs-access-key", env = "TENTACULAR_RUSTFS_ACCESS_KEY")]
    access_key: Option<String>,
    /// Its secret key.
    #[arg(
        id = "rustfs-secret-key",
        long = "rustfs-secret-key",
        env = "TENTACULAR_RUSTFS_SECRET_KEY",
        hide_env_values = true
    )]
    secret_key: Option<Password>,
    /// The bucket in which each tentacle gets a prefix; it is for tentacles alone [default: tentacular].
    #[arg(id = "rustfs-bucket", long = "rustfs-bucket", env = "TENTACULAR_RUSTFS_BUCKET")]
    bucket: Option<String>,
    /// The server's region [default: us-east-1].
    #[arg(id = "rustfs-region", long = "rustfs-region", env = "TENTACULAR_RUSTFS_REGION")]
    region: Option<String>,
    /// Folder of a mounted Secret with files endpoint, `access_key`, `secret_key`, bucket and region, for what no other argument
    /// gives. It is read again for every use.
    #[arg(id = "rustfs-path", long = "rustfs-path", env = "TENTACULAR_RUSTFS_PATH")]
    path: Option<PathBuf>,
    /// PEM file of the certificate authorities that are trusted for it, instead of the system's.
    #[arg(id = "rustfs-ca-file", long = "rustfs-ca-file", env = "TENTACULAR_RUSTFS_CA_CERT_PATH")]
    pub(super) ca_file: Option<PathBuf>,
    /// The same as text, which wins over the file.
    #[arg(id = "rustfs-ca-pem", long = "rustfs-ca-pem", env = "TENTACULAR_RUSTFS_CA_CERT_PEM")]
    pub(super) ca_pem: Option<String>,
    /// How users and policies are made: by the admin API of RustFS, by that of MinIO, or by the API of AWS IAM. With auto, by the
    /// last where there is a URL for it, else by whichever of the first two the server answers.
    #[arg(
        id = "rustfs-accounts",
        long = "rustfs-accounts",
        env = "TENTACULAR_RUSTFS_ACCOUNTS",
        default_value = "auto"
    )]
    pub(super) accounts: AccountsArg,
    /// URL of the API of AWS IAM, where it is not that of AWS itself.
    #[arg(id = "rustfs-iam-endpoint", long = "rustfs-iam-endpoint", env = "TENTACULAR_RUSTFS_IAM_ENDPOINT")]
    pub(super) iam_endpoint: Option<Url>,
    /// Labels of the server's pods, as key=value with commas between them, when it runs in the cluster: tentacles may connect to
    /// no other pods of its namespace. Left out, to all.
    #[arg(id = "rustfs-pods", long = "rustfs-pods", env = "TENTACULAR_RUSTFS_PODS", value_delimiter = ',', value_parser = label)]
    pods: Vec<(String, String)>,
    /// Networks (CIDR) that the server is in when it runs elsewhere, with commas between them: tentacles may connect to its port
    /// in no others. Left out, in any.
    #[arg(
        id = "rustfs-networks",
        long = "rustfs-networks",
        env = "TENTACULAR_RUSTFS_NETWORKS",
        value_delimiter = ','
    )]
    networks: Vec<IpNet>,
}

/// How users and policies are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum AccountsArg {
    Rustfs,
    Minio,
    Iam,
    Auto,
}

/// An access key with its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) id: String,
    pub(super) secret: Password,
}

/// Where the server is and who administers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    /// Scheme, host and port alone.
    pub(super) endpoint: Url,
    pub(super) bucket: String,
    pub(super) region: String,
    pub(super) administrator: Key,
}

impl RustfsArgs {
    /// Whether anything says where the server is or who administers it.
    pub(crate) fn is_configured(&self) -> bool {
        let given = [&self.endpoint, &self.access_key]
            .into_iter()
            .any(|text| text.as_ref().is_some_and(|text| !text.is_empty()));
        given || self.path.is_some() || self.secret_key.as_ref().is_some_and(|secret| !secret.0.is_empty())
    }

    /// Where the server is in the network.
    pub(super) fn whereabouts(&self) -> Whereabouts {
        Whereabouts::new(&self.pods, &self.networks)
    }

    /// The server as it is set now. The error names all that is missing or wrong.
    pub(super) fn server(&self) -> Result<Server, String> {
        let secret = self.secret_key.as_ref().map(|secret| &secret.0);
        let arguments =
            [self.endpoint.as_ref(), self.access_key.as_ref(), secret, self.bucket.as_ref(), self.region.as_ref()];
        let mut problems = Vec::new();
        let [endpoint, id, secret, bucket, region] = given(FIELDS, arguments, self.path.as_deref(), &mut problems);
        problems.extend(missing([
            ("endpoint", endpoint.is_some()),
            ("access_key", id.is_some()),
            ("secret_key", secret.is_some()),
        ]));
        let bucket = bucket.unwrap_or_else(|| BUCKET.to_owned());
        if !is_bucket(&bucket) {
            problems.push("bucket is no name of a bucket: 3 to 63 of a-z, 0-9, '-' and '.'".to_owned());
        }
        match (endpoint.map(|url| endpoint_of(&url)), id, secret) {
            (Some(Ok(endpoint)), Some(id), Some(secret)) if problems.is_empty() => {
                let region = region.unwrap_or_else(|| REGION.to_owned());
                Ok(Server { endpoint, bucket, region, administrator: Key { id, secret: Password(secret) } })
            }
            (endpoint, ..) => {
                problems.extend(endpoint.and_then(Result::err).map(str::to_owned));
                Err(problems.join("; "))
            }
        }
    }
}

/// Reads a URL without anything but scheme, host and port. It may hold a password, so that it is not quoted.
fn endpoint_of(url: &str) -> Result<Url, &'static str> {
    let plain = |url: &Url| {
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        bare && ["http", "https"].contains(&url.scheme()) && url.has_host() && url.username().is_empty()
    };
    let url = Url::parse(url).ok().filter(|url| plain(url) && url.password().is_none());
    url.ok_or("endpoint is no URL such as https://s3.example.org:9000, without a path")
}

/// By the rules of S3. What is more than that could mean something in a policy.
fn is_bucket(name: &str) -> bool {
    let end = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let bytes = name.as_bytes();
    (3..=63).contains(&bytes.len())
        && end(bytes.first())
        && end(bytes.last())
        && bytes.iter().all(|byte| end(Some(byte)) || b"-.".contains(byte))
}
