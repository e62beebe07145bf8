//! The folder of the sockets. A memory-backed volume's own root belongs to root and has another mode, so a folder in it is
//! made by the kernel's uid.

use std::{
    fs::{self, Permissions},
    io::ErrorKind,
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use anyhow::{Context as _, ensure};

/// Owner and group may make sockets; setgid: they belong to the folder's group, which all parts are in; sticky: nobody but
/// the kernel removes another's.
const MODE: u32 = 0o3770;

/// Makes `path`, or gives it its mode where it is there.
///
/// # Errors
/// When it cannot be made, or does not get its mode: without the sticky bit one sidecar could take another's place.
pub(super) fn make(path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    match fs::create_dir(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("cannot make run folder {shown} (--run-dir)"));
        }
        _ => {}
    }
    fs::set_permissions(path, Permissions::from_mode(MODE))
        .with_context(|| format!("cannot set the mode of run folder {shown} (--run-dir)"))?;
    let found = fs::metadata(path).with_context(|| format!("cannot look at run folder {shown} (--run-dir)"))?;
    ensure!(found.is_dir(), "run folder {shown} is there and is no folder (--run-dir)");
    let mode = found.permissions().mode() & 0o7777;
    ensure!(
        mode == MODE,
        "run folder {shown} has mode {mode:o} and not {MODE:o}: this user has to be in the folder's group (fsGroup)"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_made_with_its_mode_and_again_is_no_error() {
        let above = tempfile::tempdir().expect("a folder");
        let path = above.path().join("sockets");
        for _ in 0..2 {
            make(&path).expect("made");
            assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o7777, 0o3770);
            fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("another mode");
        }
    }

    #[test]
    fn what_is_in_the_way_is_named() {
        let above = tempfile::tempdir().expect("a folder");
        let file = above.path().join("file");
        fs::write(&file, "x").expect("a file");
        let error = make(&file).expect_err("a file").to_string();
        assert!(error.contains("no folder"), "{error}");
        let error = make(&above.path().join("none/sockets")).expect_err("nothing above it").to_string();
        assert!(error.contains("cannot make run folder") && error.contains("--run-dir"), "{error}");
    }
}
