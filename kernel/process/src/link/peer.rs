//! Who is at the other end of a Unix socket.

use std::io;

use tokio::net::UnixStream;

/// The uid this process runs as.
pub(crate) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Refuses a peer of another uid.
pub(crate) fn require_uid(stream: &UnixStream, expected: u32) -> io::Result<()> {
    let uid = stream.peer_cred()?.uid();
    if uid == expected {
        return Ok(());
    }
    let text = format!(
        "the peer runs as uid {uid}, not as {expected}: see --kernel-uid of the sidecars, and --registrar-uid and so on of the kernel"
    );
    Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
}
