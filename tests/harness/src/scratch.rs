//! A temporary folder that goes away with its owner, also when the owner is killed.

use std::{
    io::Write as _,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::Context as _;
use tempfile::TempDir;

use crate::say::say;

/// Set to keep every scratch folder, with its logs, for a look after a failed run.
const KEEP: &str = "TENTACULAR_KEEP";

/// Waits on stdin: a line says that all is tidied, an end of file says that the owner died without tidying.
/// Removal is tried again because programs that die at the same time may still be writing there.
const JANITOR: &str = r#"trap '' HUP INT TERM; read -r line || until rm -rf -- "$1" 2>/dev/null; do sleep 0.1; done"#;

/// A temporary folder, removed on drop, and by a janitor process when this process ends without a drop: statics are
/// never dropped, and a control plane leaves over 100 MB.
#[derive(Debug)]
pub struct Scratch {
    folder: TempDir,
    keep: bool,
    janitor: Child,
}

impl Scratch {
    /// Makes the folder in the system's temporary folder. Fails when the folder or its janitor cannot be made.
    pub fn new() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("tentacular-")
            // It holds keys and tokens.
            .permissions(std::fs::Permissions::from_mode(0o700))
            .tempdir()
            .context("cannot make a temporary folder")?;
        let janitor = Command::new("/bin/sh")
            .args(["-c", JANITOR, "janitor"])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("cannot start the janitor of a temporary folder")?;
        let keep = std::env::var_os(KEEP).is_some();
        let mut scratch = Self { folder, keep, janitor };
        if keep {
            scratch.folder.disable_cleanup(true);
            scratch.dismiss();
            say(&format!("keeping {}", scratch.path().display()));
        }
        Ok(scratch)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Sends the janitor home.
    fn dismiss(&mut self) {
        if let Some(mut stdin) = self.janitor.stdin.take() {
            let _ = stdin.write_all(b"tidied\n");
        }
        let _ = self.janitor.wait();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.keep || std::fs::remove_dir_all(self.path()).is_ok() {
            self.dismiss();
        }
        // Otherwise the end of file on its stdin makes the janitor try until it succeeds.
    }
}
