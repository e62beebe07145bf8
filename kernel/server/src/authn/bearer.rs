//! The bearer token: one secret in a file, compared in constant time, read again when the file changes.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use arc_swap::ArcSwap;
use subtle::ConstantTimeEq;
use tentacular_process::files::Files;

/// The token. It is in no `Debug` output.
pub(crate) struct StaticToken {
    path: PathBuf,
    files: Files,
    token: ArcSwap<String>,
}

impl StaticToken {
    /// Reads the token, white space around it removed. An empty or missing file is an error that names it.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let files = Files::new([path.to_owned()]);
        Ok(Self { path: path.to_owned(), files, token: ArcSwap::from_pointee(load(path)?) })
    }

    /// Whether `given` is the token; takes as long for a wrong one as for the right one of the same length.
    pub(crate) fn matches(&self, given: &str) -> bool {
        self.token.load().as_bytes().ct_eq(given.as_bytes()).into()
    }

    /// Reads the file again whenever it has changed. One that cannot be read, or is empty, changes nothing: whoever has
    /// the token of before can still come in and mend it. Never ends.
    pub(crate) async fn follow(&self) {
        self.files.follow(|| self.read_again()).await;
    }

    fn read_again(&self) -> anyhow::Result<()> {
        self.token.store(load(&self.path)?.into());
        tracing::info!(path = %self.path.display(), "the token was read again");
        Ok(())
    }
}

/// The token in the file, white space around it removed.
///
/// # Errors
/// When there is none. The file is named.
pub(crate) fn load(path: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read the token file {} (--token-path)", path.display()))?;
    let token = text.trim();
    ensure!(!token.is_empty(), "the token file {} is empty (--token-path)", path.display());
    Ok(token.to_owned())
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
        let look = |token: &StaticToken| token.files.look(|| token.read_again());
        write(" one\n");
        let token = StaticToken::read(&path).expect("a token");
        assert!(token.matches("one"));
        write("two");
        look(&token);
        assert!(token.matches("two") && !token.matches("one"));
        write(" \n");
        look(&token);
        assert!(token.matches("two"), "an empty file lets nobody out and nobody else in");
        assert!(!token.matches(""));
        fs::remove_file(&path).expect("removed");
        look(&token);
        assert!(token.matches("two"));
        write("three");
        look(&token);
        assert!(token.matches("three"));
        assert!(!format!("{token:?}").contains("three"));
    }
}
