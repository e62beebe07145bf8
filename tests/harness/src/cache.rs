//! What takes minutes to make is made once and kept in the user's cache folder, for all processes and runs.

use std::{
    fmt::Write as _,
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use crate::say::say;

/// Unfinished folders have this prefix, so that a later maker can remove what a killed one left.
const UNFINISHED: &str = ".building-";

/// Where a maker works. Both folders are empty, and go away unless the making succeeds.
#[derive(Debug)]
pub(crate) struct Workshop {
    /// What is of no use once the result is there.
    pub(crate) scraps: PathBuf,
    /// What will be kept, under another path.
    pub(crate) output: PathBuf,
}

/// The folder `<cache>/tentacular/<name>/<key>`. When it is not there or not `complete`, `make` fills it; another process
/// that makes it already is waited for.
///
/// Fails when there is no cache folder, and when the making fails.
pub(crate) async fn folder<Making>(
    name: &str,
    key: &str,
    complete: impl Fn(&Path) -> bool,
    make: impl FnOnce(Workshop) -> Making,
) -> anyhow::Result<PathBuf>
where
    Making: Future<Output = anyhow::Result<()>>,
{
    let cache = root()?.join(name);
    let folder = cache.join(key);
    if complete(&folder) {
        return Ok(folder);
    }
    std::fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    let _lock = lock(&cache.join("lock")).await?;
    if complete(&folder) {
        return Ok(folder);
    }
    remove_unfinished(&cache)?;
    let work = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(&cache)?;
    let workshop = Workshop { scraps: work.path().join("scraps"), output: work.path().join("output") };
    let output = workshop.output.clone();
    std::fs::create_dir(&workshop.scraps)?;
    std::fs::create_dir(&output)?;
    let started = Instant::now();
    make(workshop).await?;
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::rename(&output, &folder).with_context(|| format!("cannot make {}", folder.display()))?;
    say(&format!("made {} in {} s", folder.display(), started.elapsed().as_secs()));
    Ok(folder)
}

/// A key that changes with the version or any of the parts.
pub(crate) fn key(version: &str, parts: impl IntoIterator<Item = impl AsRef<[u8]>>) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    let mut key = format!("{version}-");
    for byte in hash.finalize().iter().take(6) {
        write!(key, "{byte:02x}")?;
    }
    Ok(key)
}

/// The file of a program that `PATH` finds.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn root() -> anyhow::Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME") {
        Some(cache) if Path::new(&cache).is_absolute() => PathBuf::from(cache),
        _ => std::env::home_dir().context("no home folder, so no cache folder")?.join(".cache"),
    };
    Ok(base.join("tentacular"))
}

/// Tries rather than blocks, so that a caller that gives up leaves no thread behind.
async fn lock(path: &Path) -> anyhow::Result<File> {
    let file = File::options().create(true).append(true).open(path)?;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {
                if !told {
                    say(&format!("waiting for another process that holds {}", path.display()));
                    told = true;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
    }
}

fn remove_unfinished(cache: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(cache)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_the_version_and_changes_with_each_part() {
        let of = |parts: [&str; 2]| key("v1.2", parts).unwrap();
        let (version, hash) = of(["a", "b"]).rsplit_once('-').map(|(v, h)| (v.to_owned(), h.to_owned())).unwrap();
        assert_eq!(version, "v1.2");
        assert!(hash.len() == 12 && hash.chars().all(|digit| digit.is_ascii_hexdigit()), "{hash}");
        assert_ne!(of(["a", "b"]), of(["a", "c"]));
    }
}
