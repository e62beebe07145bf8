//! Files that are read again when they change: credentials, which are replaced while a process runs.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Files that are read together.
#[derive(Debug)]
pub struct Files {
    paths: Vec<PathBuf>,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    /// What was there when the files were last read with success.
    read: Vec<Option<FileId>>,
    /// Why they could not be read since.
    complaint: Option<String>,
}

/// Which file is there, and in which state. A mounted Secret is replaced by other files.
type FileId = (u64, u64, i64, i64);

impl Files {
    /// Files that the caller reads after this.
    pub fn new(paths: impl Into<Vec<PathBuf>>) -> Self {
        let paths = paths.into();
        let seen = Seen { read: ids(&paths), complaint: None };
        Self { paths, seen: Mutex::new(seen) }
    }

    /// Looks at them every second. Never ends.
    pub async fn follow(&self, mut read: impl FnMut() -> anyhow::Result<()>) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            self.look(&mut read);
        }
    }

    /// Calls `read` if one of them is not as it was when they were last read. An error is logged, though not the same one
    /// twice; the next look tries again.
    pub fn look(&self, read: impl FnOnce() -> anyhow::Result<()>) {
        if let Some(error) = self.complaint(read) {
            tracing::error!(error, "what was read before stays in force");
        }
    }

    /// Why they cannot be read, where that is news.
    fn complaint(&self, read: impl FnOnce() -> anyhow::Result<()>) -> Option<String> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // Before they are read: what changes meanwhile is seen by the next look.
        let ids = ids(&self.paths);
        let result = if ids == seen.read { Ok(()) } else { read() };
        match result {
            Ok(()) => {
                *seen = Seen { read: ids, complaint: None };
                None
            }
            Err(error) => {
                let error = Some(format!("{error:#}"));
                let news = error != seen.complaint;
                seen.complaint.clone_from(&error);
                error.filter(|_| news)
            }
        }
    }
}

/// A file that is not there has none.
fn ids(paths: &[PathBuf]) -> Vec<Option<FileId>> {
    let id = |path: &PathBuf| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
    };
    paths.iter().map(id).collect()
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, path::Path};

    use anyhow::bail;

    use super::*;

    /// Puts `text` where `path` is, as another file.
    fn replace(path: &Path, text: &str) {
        let next = path.with_extension("next");
        fs::write(&next, text).expect("written");
        fs::rename(&next, path).expect("renamed");
    }

    #[test]
    fn they_are_read_when_one_has_changed_and_only_then() {
        let folder = tempfile::tempdir().expect("a folder");
        let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
        replace(&one, "1");
        replace(&two, "1");
        let files = Files::new([one.clone(), two.clone()]);
        let reads = |files: &Files| {
            let mut read = false;
            files.look(|| {
                read = true;
                Ok(())
            });
            read
        };
        assert!(!reads(&files), "they are as they were");
        for path in [&one, &two] {
            replace(path, "2");
            assert!(reads(&files), "{path:?} changed");
            assert!(!reads(&files), "{path:?} was read");
        }
        fs::write(&one, "longer").expect("written");
        assert!(reads(&files), "the same file, written again");
    }

    #[test]
    fn a_mounted_secret_that_is_swapped_has_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let [data, next, path] = ["..data", "..next", "token"].map(|name| folder.path().join(name));
        for generation in ["1", "2"] {
            let generation = folder.path().join(generation);
            fs::create_dir(&generation).expect("a folder");
            fs::write(generation.join("token"), "same length").expect("written");
        }
        symlink("1", &data).expect("linked");
        symlink("..data/token", &path).expect("linked");
        let files = Files::new([path]);
        symlink("2", &next).expect("linked");
        fs::rename(&next, &data).expect("swapped");
        let mut read = false;
        files.look(|| {
            read = true;
            Ok(())
        });
        assert!(read);
    }

    #[test]
    fn what_cannot_be_read_is_tried_again_and_complained_of_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        replace(&path, "good");
        let files = Files::new([path.clone()]);
        let look = || {
            files.complaint(|| match fs::read_to_string(&path)?.as_str() {
                "good" => Ok(()),
                bad => bail!("it is {bad}"),
            })
        };
        for (text, news) in [
            ("bad", Some("it is bad")),
            ("bad", None),
            ("worse", Some("it is worse")),
            ("good", None),
            ("bad", Some("it is bad")),
        ] {
            replace(&path, text);
            assert_eq!(look().as_deref(), news, "{text}");
            assert_eq!(look(), None, "{text}, looked at again");
        }
        fs::remove_file(&path).expect("removed");
        assert!(look().is_some_and(|complaint| complaint.contains("No such file")));
        assert_eq!(look(), None, "it is still not there");
    }
}
