//! File modes: only the server's own user may read its files.
//!
//! Invariant: a file with secrets or users' bytes is created with mode 0600, under any umask and in a directory of any mode. The
//! start tightens files of older versions.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Mode of files.
const FILE_MODE: u32 = 0o600;
/// Mode of directories.
pub(crate) const DIRECTORY_MODE: u32 = 0o700;
/// The mode bits of group and others.
const GROUP_AND_OTHERS: u32 = 0o077;

/// Options that create files for this user alone.
pub(crate) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(FILE_MODE);
    options
}

/// The rights of other users of the machine in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// They have none.
    None,
    /// They see or enter it.
    Readable,
    /// They create files in it, and replace existing ones.
    Writable,
}

/// The rights of other users of the machine in this directory.
///
/// # Errors
/// The system's error.
pub fn exposure(directory: &Path) -> io::Result<Exposure> {
    let mode = fs::metadata(directory)?.permissions().mode();
    Ok(match mode & GROUP_AND_OTHERS {
        0 => Exposure::None,
        others if others & 0o022 != 0 => Exposure::Writable,
        _ => Exposure::Readable,
    })
}

/// Removes the rights of group and others on the files of a data directory and on its blobs. A file whose mode cannot change is
/// skipped: some filesystems have no modes.
pub(crate) fn tighten(data_dir: &Path) {
    for file in ["partway.db", "partway.db-wal", "partway.db-shm", "partway.db-migrated", "reserve", "lock"] {
        tighten_one(&data_dir.join(file), FILE_MODE);
    }
    // This mode protects all blobs in it; there may be too many to check each.
    tighten_one(&data_dir.join("blobs"), DIRECTORY_MODE);
}

fn tighten_one(path: &Path, mode: u32) {
    // Links are skipped: their targets are not the server's.
    let Ok(found) = fs::symlink_metadata(path) else { return };
    if found.is_symlink() || found.permissions().mode() & GROUP_AND_OTHERS == 0 {
        return;
    }
    match fs::set_permissions(path, Permissions::from_mode(mode)) {
        Ok(()) => {
            tracing::warn!(path = %path.display(), "other users of this machine could read this; now they cannot")
        }
        Err(error) => tracing::warn!(path = %path.display(), %error, "other users of this machine may read this"),
    }
}

/// Warns at the start if other users can access the data directory.
pub(crate) fn warn_of_exposure(data_dir: &Path) {
    let (path, hint) = (data_dir.display(), "chmod 700 closes it");
    match exposure(data_dir) {
        Ok(Exposure::Writable) => {
            tracing::warn!(%path, hint, "other users of this machine may create and replace files in the data directory");
        }
        Ok(Exposure::Readable) => {
            tracing::warn!(%path, hint, "other users of this machine may list the data directory");
        }
        Ok(Exposure::None) | Err(_) => {}
    }
}
