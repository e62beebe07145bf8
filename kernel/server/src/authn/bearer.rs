//! The static token: one secret in a file, compared in constant time, read again when the file changes.

use std::{
    fmt, fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use arc_swap::ArcSwap;
use subtle::ConstantTimeEq;
use tokio::time::{MissedTickBehavior, interval};

/// Between two looks at the file.
const LOOK: Duration = Duration::from_secs(1);

/// The token. It is in no `Debug` output.
pub(crate) struct StaticToken {
    path: PathBuf,
    token: ArcSwap<Vec<u8>>,
    read: Mutex<FileId>,
}

/// Which file was read, and in which state. A mounted Secret is replaced by another file.
type FileId = (u64, u64, i64, i64);

impl StaticToken {
    /// Reads the token, white space around it removed. An empty or missing file is an error that names it.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let id =
            file_id(path).with_context(|| format!("cannot read the token file {} (--token-path)", path.display()))?;
        Ok(Self { path: path.to_owned(), token: ArcSwap::from_pointee(load(path)?), read: Mutex::new(id) })
    }

    /// Whether `given` is the token; takes as long for a wrong one as for the right one of the same length.
    pub(crate) fn matches(&self, given: &str) -> bool {
        self.token.load().ct_eq(given.as_bytes()).into()
    }

    /// Reads the file again whenever it has changed. Never ends.
    pub(crate) async fn follow(&self) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            self.refresh();
        }
    }

    /// Reads the file if it is not the one that was read. One that cannot be read, or is empty, changes nothing: whoever
    /// has the token of before can still come in and mend it.
    fn refresh(&self) {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(id) = file_id(&self.path) else { return };
        if id == *read {
            return;
        }
        match load(&self.path) {
            Ok(token) => {
                *read = id;
                self.token.store(token.into());
                tracing::info!(path = %self.path.display(), "the token was read again");
            }
            // Tried again at each look: the file may be mended without looking changed.
            Err(error) => tracing::error!(error = %format!("{error:#}"), "the token of before stays in force"),
        }
    }
}

fn load(path: &Path) -> anyhow::Result<Vec<u8>> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read the token file {} (--token-path)", path.display()))?;
    let token = text.trim();
    ensure!(!token.is_empty(), "the token file {} is empty (--token-path)", path.display());
    Ok(token.as_bytes().to_vec())
}

fn file_id(path: &Path) -> io::Result<FileId> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

impl fmt::Debug for StaticToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticToken").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_changes_is_read_again_and_a_broken_file_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        let write = |text: &str| {
            let next = folder.path().join("next");
            fs::write(&next, text).expect("written");
            fs::rename(&next, &path).expect("renamed");
        };
        write(" one\n");
        let token = StaticToken::read(&path).expect("a token");
        assert!(token.matches("one"));
        write("two");
        token.refresh();
        assert!(token.matches("two") && !token.matches("one"));
        write(" \n");
        token.refresh();
        assert!(token.matches("two"), "an empty file lets nobody out and nobody else in");
        assert!(!token.matches(""));
        fs::remove_file(&path).expect("removed");
        token.refresh();
        assert!(token.matches("two"));
        write("three");
        token.refresh();
        assert!(token.matches("three"));
        assert!(!format!("{token:?}").contains("three"));
    }
}
