//! File modes: the server's own user alone may read what it writes.
//!
//! Invariant: a file that holds secrets or users' bytes is made with mode 0600, whatever the umask of the process and the mode
//! of its directory. Those that an older version made are tightened when the server starts.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Mode of files.
const FILE: u32 = 0o600;
/// Mode of directories.
pub(crate) const DIRECTORY: u32 = 0o700;
/// The mode bits of group and others.
const OTHERS: u32 = 0o077;

/// Options that make files for this user alone.
pub(crate) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(FILE);
    options
}

/// Rights of others on the machine in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// Nothing.
    None,
    /// See or enter it.
    Readable,
    /// Put files into it, and take others' place.
    Writable,
}

/// Rights of others on the machine in this directory.
///
/// # Errors
/// The system's error.
pub fn exposure(directory: &Path) -> io::Result<Exposure> {
    let mode = fs::metadata(directory)?.permissions().mode();
    Ok(match mode & OTHERS {
        0 => Exposure::None,
        others if others & 0o022 != 0 => Exposure::Writable,
        _ => Exposure::Readable,
    })
}

/// Takes from group and others what they may do with the files of a data directory, and with its blobs. A file that cannot be
/// changed is left: some filesystems have no modes.
pub(crate) fn tighten(data_dir: &Path) {
    for file in ["partway.db", "partway.db-wal", "partway.db-shm", "partway.db-migrated", "reserve", "lock"] {
        tighten_one(&data_dir.join(file), FILE);
    }
    // Nobody gets to the blobs in it, however they were made; there may be too many to look at each.
    tighten_one(&data_dir.join("blobs"), DIRECTORY);
}

fn tighten_one(path: &Path, mode: u32) {
    // Links are left alone: they lead to what somebody else put there.
    let Ok(found) = fs::symlink_metadata(path) else { return };
    if found.is_symlink() || found.permissions().mode() & OTHERS == 0 {
        return;
    }
    match fs::set_permissions(path, Permissions::from_mode(mode)) {
        Ok(()) => tracing::warn!(path = %path.display(), "others on this machine could read this; now they cannot"),
        Err(error) => tracing::warn!(path = %path.display(), %error, "others on this machine may read this"),
    }
}

/// Says at the start who else can get into the data directory.
pub(crate) fn warn_of_exposure(data_dir: &Path) {
    let (path, hint) = (data_dir.display(), "chmod 700 closes it");
    match exposure(data_dir) {
        Ok(Exposure::Writable) => {
            tracing::warn!(%path, hint, "others on this machine may put files into the data directory, and replace those in it");
        }
        Ok(Exposure::Readable) => {
            tracing::warn!(%path, hint, "others on this machine may see what is in the data directory");
        }
        Ok(Exposure::None) | Err(_) => {}
    }
}
