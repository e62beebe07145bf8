//! What the server says of itself before anybody is admitted. The registrar has no certificate by which it would be.

use std::time::Duration;

use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};

use super::super::connect::Server;
use crate::backing::service::Failure;

/// Longest wait for it.
const WAIT: Duration = Duration::from_secs(10);
/// Most of it that is read, in bytes.
const LENGTH: u64 = 64 * 1024;

/// The part of the greeting (`INFO`) that counts here.
#[derive(Debug, Deserialize)]
struct Info {
    /// Whether clients need a certificate.
    #[serde(default)]
    tls_verify: bool,
}

/// Sees whether the server answers and asks clients for certificates. Where it does not, whoever names a tentacle as its user is
/// admitted as that tentacle, as these have no passwords.
pub(super) async fn asks_for_certificates(server: &Server) -> Result<(), Failure> {
    let late = |_| Failure::Unavailable(format!("it did not answer within {} s", WAIT.as_secs()));
    let line = timeout(WAIT, greeting(server)).await.map_err(late)?;
    let line = line.map_err(|error| Failure::Unavailable(error.to_string()))?;
    let info: Option<Info> = line.strip_prefix("INFO ").and_then(|info| serde_json::from_str(info).ok());
    match info {
        None => Err(Failure::Unavailable("what answers is no NATS server".to_owned())),
        Some(Info { tls_verify: false }) => Err(Failure::Refused(
            "it does not ask clients for certificates, by which tentacles are told apart; its tls needs verify_and_map: true"
                .to_owned(),
        )),
        Some(Info { tls_verify: true }) => Ok(()),
    }
}

async fn greeting(Server { address, .. }: &Server) -> std::io::Result<String> {
    let connection = TcpStream::connect((address.host(), address.port())).await?;
    let mut line = String::new();
    BufReader::new(connection.take(LENGTH)).read_line(&mut line).await?;
    Ok(line)
}
