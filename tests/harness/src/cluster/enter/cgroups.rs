//! The cgroups of clusters. They are named for the process that entered, and removed when that is gone.

use std::{
    fs,
    path::{Path, PathBuf},
    thread::sleep,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use rustix::process::Pid;

const ROOT: &str = "/sys/fs/cgroup";
/// The rest of the name is the process's id.
const PREFIX: &str = "tentacular-cluster-";
/// Killed processes leave their cgroups a little later.
const TRIES: u32 = 100;
const BETWEEN: Duration = Duration::from_millis(50);

/// The cgroup of this process's cluster, removed on drop.
#[derive(Debug)]
pub(super) struct Cgroup(String);

impl Cgroup {
    pub(super) fn new() -> anyhow::Result<Self> {
        let cgroup = Self(format!("{PREFIX}{}", std::process::id()));
        make(Path::new(&cgroup.0))?;
        Ok(cgroup)
    }

    pub(super) fn name(&self) -> &str {
        &self.0
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for _ in 0..TRIES {
            if hierarchies().iter().all(|hierarchy| remove(&hierarchy.join(&self.0))) {
                return;
            }
            sleep(BETWEEN);
        }
    }
}

/// Makes a cgroup in every hierarchy.
pub(in crate::cluster) fn make(name: &Path) -> anyhow::Result<()> {
    for hierarchy in hierarchies() {
        let folder = hierarchy.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make the cgroup {}", folder.display()))?;
        // Version 1: a new one has none, and no process could be put into it.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let above = folder.parent().map(|above| above.join(file)).filter(|above| above.is_file());
            if let Some(above) = above.filter(|_| !hierarchy.join("cgroup.controllers").exists()) {
                fs::write(folder.join(file), fs::read(above)?)?;
            }
        }
        // Version 2: controllers are handed down one by one.
        if let Ok(controllers) = fs::read_to_string(folder.join("cgroup.controllers")) {
            let all: Vec<_> = controllers.split_whitespace().map(|controller| format!("+{controller}")).collect();
            fs::write(folder.join("cgroup.subtree_control"), all.join(" "))?;
        }
    }
    Ok(())
}

/// The processes in the cgroup of this name below `above`, and in those below it.
pub(in crate::cluster) fn processes(above: &str, name: &str) -> anyhow::Result<Vec<Pid>> {
    let hierarchies = hierarchies();
    // In any of them a pod's processes are the same; this one is in every kernel.
    let hierarchy = hierarchies.iter().find(|path| path.ends_with("pids")).or(hierarchies.first());
    let mut folders = vec![hierarchy.context("no cgroups")?.join(above.trim_start_matches('/'))];
    let (mut pids, mut found) = (Vec::new(), false);
    while let Some(folder) = folders.pop() {
        found |= folder.ends_with(name);
        if folder.components().any(|component| component.as_os_str() == name) {
            let listed = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            pids.extend(listed.lines().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)));
        }
        let below = fs::read_dir(folder).into_iter().flatten().flatten();
        folders.extend(below.map(|entry| entry.path()).filter(|path| path.is_dir()));
    }
    ensure!(found, "no cgroup {name} below {above}");
    Ok(pids)
}

/// Removes those whose process is gone.
pub(super) fn remove_abandoned() {
    for hierarchy in hierarchies() {
        for entry in fs::read_dir(hierarchy).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
            if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
                remove(&entry.path());
            }
        }
    }
}

/// One for each controller of version 1, or that of version 2.
fn hierarchies() -> Vec<PathBuf> {
    let root = Path::new(ROOT);
    if root.join("cgroup.controllers").exists() {
        return vec![root.to_owned()];
    }
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir() && !path.is_symlink()).collect()
}

/// Whether it is gone, with all below it.
fn remove(folder: &Path) -> bool {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove(&entry.path());
        }
    }
    fs::remove_dir(folder).is_ok() || !folder.exists()
}
