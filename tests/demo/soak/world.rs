//! Everything that the load and the changes share.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::Value;
use tentacular_test_harness::{
    Installation, Provider, Scratch, Stack,
    stack::Options,
    tls::{Authority, Pair},
};

use crate::{
    generations::{Expected, Generations, Notice},
    outages::Outages,
    tally::Tally,
};

/// The kernel looks at its files every second; a busy machine gets more time.
const FILES: Notice = Notice { new: Duration::from_secs(3), old: Duration::from_secs(3) };
/// A token of an unknown key waits for the keys, which are fetched once in 3 s at most. The same fetch takes away the old
/// key.
const KEYS: Notice = Notice { new: Duration::ZERO, old: Duration::from_secs(5) };

/// The system under load, and what is known of it.
pub(crate) struct World {
    pub(crate) stack: Stack,
    pub(crate) provider: Provider,
    pub(crate) authority: Authority,
    /// The bearer token.
    pub(crate) tokens: Generations<String>,
    /// The provider's key.
    pub(crate) keys: Generations<()>,
    /// The kernel's certificate, DER.
    pub(crate) certificates: Generations<Vec<u8>>,
    pub(crate) outages: Outages,
    pub(crate) tally: Tally,
    files: Scratch,
}

/// A token, and what makes it right.
#[derive(Debug, Clone)]
pub(crate) struct Credential {
    pub(crate) token: String,
    pub(crate) source: Source,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// This generation of the token file.
    TokenFile(usize),
    /// This generation of the provider's key.
    KeySet(usize),
    /// Nothing does.
    Forged,
}

impl World {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let installation = Installation::start().await?;
        let (provider, authority, files) = (Provider::start()?, Authority::new()?, Scratch::new()?);
        let certificate = write_certificate(&authority, files.path())?;
        let mut kernel_args = provider.kernel_args();
        kernel_args.push(format!("--tls-cert-file={}", certificate_file(files.path()).display()));
        kernel_args.push(format!("--tls-key-file={}", key_file(files.path()).display()));
        let stack = Stack::start_with(installation, Options { kernel_args, ..Options::default() }).await?;
        Ok(Self {
            tokens: Generations::new(stack.token().to_owned(), FILES),
            keys: Generations::new((), KEYS),
            certificates: Generations::new(certificate, FILES),
            outages: Outages::default(),
            tally: Tally::default(),
            stack,
            provider,
            authority,
            files,
        })
    }

    /// Where MCP is served.
    pub(crate) fn url(&self) -> String {
        self.stack.url().replacen("http:", "https:", 1)
    }

    /// The bearer token of the moment.
    pub(crate) fn bearer(&self) -> Credential {
        self.tokens.with_newest(|generation, token| Credential {
            token: token.clone(),
            source: Source::TokenFile(generation),
        })
    }

    /// An access token with these claims, signed with the key of the moment.
    pub(crate) fn signed(&self, claims: &Value) -> Credential {
        self.keys.with_newest(|generation, ()| Credential {
            token: self.provider.token(claims),
            source: Source::KeySet(generation),
        })
    }

    /// What must become of a request with `credential`.
    pub(crate) fn expected(&self, credential: &Credential, begun: Instant, ended: Instant) -> Expected {
        match credential.source {
            Source::TokenFile(generation) => self.tokens.expected(generation, begun, ended),
            Source::KeySet(generation) => self.keys.expected(generation, begun, ended),
            Source::Forged => Expected::Refused,
        }
    }

    /// Writes another token into the token file.
    pub(crate) fn change_token(&self) -> anyhow::Result<()> {
        self.tokens.replace(|generation| {
            let token = format!("soak-token-{generation}");
            write(&self.stack.folder().join("token"), &token)?;
            Ok(token)
        })
    }

    /// Lets the provider sign with another key, and publish only that.
    pub(crate) fn change_key(&self) -> anyhow::Result<()> {
        self.keys.replace(|_| {
            self.provider.rotate();
            Ok(())
        })
    }

    /// Gives the kernel another certificate.
    pub(crate) fn change_certificate(&self) -> anyhow::Result<()> {
        self.certificates.replace(|_| write_certificate(&self.authority, self.files.path()))
    }
}

fn certificate_file(folder: &Path) -> PathBuf {
    folder.join("tls.crt")
}

fn key_file(folder: &Path) -> PathBuf {
    folder.join("tls.key")
}

/// Writes a new certificate and its key, one after the other as a person would, and returns the certificate.
fn write_certificate(authority: &Authority, folder: &Path) -> anyhow::Result<Vec<u8>> {
    let Pair { certificate, key } = authority.server()?;
    write(&key_file(folder), &key)?;
    write(&certificate_file(folder), &certificate)?;
    Ok(CertificateDer::from_pem_slice(certificate.as_bytes())?.to_vec())
}

/// Replaces a file at once, as the kubelet does.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let next = path.with_extension("next");
    std::fs::write(&next, text)
        .and_then(|()| std::fs::rename(&next, path))
        .with_context(|| format!("cannot write {}", path.display()))
}
