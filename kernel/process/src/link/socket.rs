//! The socket file of a sidecar: bound under a temporary name and renamed, so that nobody ever finds a half-made one.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::net::SocketFlags;
use tokio::net::{UnixListener, UnixStream};

use super::peer;
use crate::http::{Accept, Peer};

/// The ending of a socket's file name; what stands before it is the sidecar's name.
pub const SOCKET_SUFFIX: &str = ".sock";

/// Why a sidecar has no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The run folder is not there, or not a folder.
    #[error("run folder {path}: {source} (--run-dir)")]
    RunDir {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something else stands where the socket belongs; it is left alone.
    #[error("{0} is there and is no socket; remove it, or choose another folder (--run-dir)")]
    NotASocket(PathBuf),
    /// The socket could not be made.
    #[error("cannot listen on {path}: {source} (--run-dir)")]
    Bind {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Accepts connections from one uid alone.
#[derive(Debug)]
pub(crate) struct SocketListener {
    listener: UnixListener,
    peer_uid: u32,
    refused: AtomicU64,
}

impl SocketListener {
    /// Binds `<folder>/<name>.sock`, in place of a socket that an earlier process left.
    pub(crate) fn bind(folder: &Path, name: &str, peer_uid: u32) -> Result<Self, SocketError> {
        let no_folder = |source| SocketError::RunDir { path: folder.to_owned(), source };
        if !fs::metadata(folder).map_err(no_folder)?.is_dir() {
            return Err(no_folder(io::ErrorKind::NotADirectory.into()));
        }
        let path = folder.join(format!("{name}{SOCKET_SUFFIX}"));
        let temporary = folder.join(format!(".{name}.{}", std::process::id()));
        refuse_what_is_no_socket(&path)?;
        refuse_what_is_no_socket(&temporary)?;
        let bound = || {
            // Left by a process that had this id before and died in between.
            if temporary.exists() {
                fs::remove_file(&temporary)?;
            }
            let listener = UnixListener::bind(&temporary)?;
            // The kernel runs under another uid of the folder's group.
            fs::set_permissions(&temporary, fs::Permissions::from_mode(0o660))?;
            fs::rename(&temporary, &path)?;
            Ok(listener)
        };
        let listener = bound().map_err(|source| SocketError::Bind { path, source })?;
        Ok(Self { listener, peer_uid, refused: AtomicU64::new(0) })
    }

    /// Whether it is the kernel who connected.
    fn admits(&self, stream: &UnixStream) -> bool {
        let Err(error) = peer::require_uid(stream, self.peer_uid) else { return true };
        // At once and almost silently: whoever floods the socket must not keep the kernel waiting, nor fill the log.
        let count = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_power_of_two() {
            tracing::warn!(%error, count, "refused a connection");
        }
        false
    }
}

fn refuse_what_is_no_socket(path: &Path) -> Result<(), SocketError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => Err(SocketError::NotASocket(path.to_owned())),
        _ => Ok(()),
    }
}

impl Accept for SocketListener {
    type Io = UnixStream;

    async fn accept(&mut self) -> io::Result<(UnixStream, Option<Peer>)> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            if self.admits(&stream) {
                return Ok((stream, None));
            }
        }
    }

    fn last(&mut self) -> Vec<(UnixStream, Option<Peer>)> {
        // Linux refuses to connect from now on, and still gives out who waits (net/unix/af_unix.c).
        if rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Read).is_err() {
            return Vec::new();
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // tokio would wait for more.
        let waiting = std::iter::from_fn(|| rustix::net::accept_with(&self.listener, flags).ok());
        let streams = waiting.filter_map(|stream| UnixStream::from_std(stream.into()).ok());
        streams.filter(|stream| self.admits(stream)).map(|stream| (stream, None)).collect()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_socket_replaces_an_older_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = SocketListener::bind(folder.path(), "part", peer::own_uid()).expect("a socket");
        let mut second = SocketListener::bind(folder.path(), "part", peer::own_uid()).expect("a socket");
        drop(first);
        let path = folder.path().join("part.sock");
        assert_eq!(fs::metadata(&path).expect("the socket").permissions().mode() & 0o777, 0o660);
        let (client, server) = tokio::join!(UnixStream::connect(&path), second.accept());
        client.expect("connected").write_all(b"x").await.expect("written");
        let mut got = [0];
        server.expect("accepted").0.read_exact(&mut got).await.expect("read");
        assert_eq!(fs::read_dir(folder.path()).expect("a listing").count(), 1, "no temporary name is left");
    }

    #[tokio::test]
    async fn who_came_before_the_end_is_accepted_and_who_comes_later_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut listener = SocketListener::bind(folder.path(), "part", peer::own_uid()).expect("a socket");
        let path = folder.path().join("part.sock");
        let mut waiting = Vec::new();
        for _ in 0..3 {
            waiting.push(UnixStream::connect(&path).await.expect("connected"));
        }
        let last = listener.last();
        assert_eq!(last.len(), waiting.len());
        let refused = UnixStream::connect(&path).await.expect_err("refused");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        for (client, (mut accepted, _)) in waiting.iter_mut().zip(last) {
            client.write_all(b"x").await.expect("written");
            assert_eq!(accepted.read_u8().await.expect("read"), b'x');
        }
    }

    #[tokio::test]
    async fn what_is_no_socket_is_never_unlinked() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("part.sock");
        fs::write(&path, "precious").expect("written");
        let error = SocketListener::bind(folder.path(), "part", 0).expect_err("refused");
        assert!(matches!(error, SocketError::NotASocket(_)), "{error}");
        fs::remove_file(&path).expect("removed");
        std::os::unix::fs::symlink("elsewhere", &path).expect("linked");
        assert!(matches!(SocketListener::bind(folder.path(), "part", 0), Err(SocketError::NotASocket(_))));
        assert!(matches!(SocketListener::bind(&path, "part", 0), Err(SocketError::RunDir { .. })));
    }

    #[tokio::test]
    async fn another_uid_is_not_served() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut listener = SocketListener::bind(folder.path(), "part", peer::own_uid() + 1).expect("a socket");
        let path = folder.path().join("part.sock");
        let accepting = tokio::spawn(async move { listener.accept().await.map(drop) });
        for _ in 0..500 {
            let mut got = Vec::new();
            let mut client = UnixStream::connect(&path).await.expect("connected");
            assert_eq!(client.read_to_end(&mut got).await.expect("closed"), 0);
        }
        assert!(!accepting.is_finished(), "nobody was let in, and nobody made it fail");
    }
}
