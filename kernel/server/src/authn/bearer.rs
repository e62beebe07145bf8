//! The static token: one secret in a file, compared in constant time.

use std::{fmt, fs, path::Path};

use anyhow::{Context, ensure};
use subtle::ConstantTimeEq;

/// The token. It is in no `Debug` output.
pub(crate) struct StaticToken(Vec<u8>);

impl StaticToken {
    /// Reads the token, white space around it removed.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read the token file {} (--token-path)", path.display()))?;
        let token = text.trim();
        ensure!(!token.is_empty(), "the token file {} is empty (--token-path)", path.display());
        Ok(Self(token.as_bytes().to_vec()))
    }

    /// Whether `given` is the token; takes as long for a wrong one as for the right one of the same length.
    pub(crate) fn matches(&self, given: &str) -> bool {
        self.0.ct_eq(given.as_bytes()).into()
    }
}

impl fmt::Debug for StaticToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StaticToken(…)")
    }
}
