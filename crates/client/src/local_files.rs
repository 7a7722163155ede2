//! Files that the client keeps in directories where other users may write.
//!
//! Invariants: no symbolic or hard link redirects a write, only regular files are opened, and a file that appears at a free name in the
//! meantime is not overwritten.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{CWD, OFlags, RenameFlags};
use rustix::io::Errno;

/// Mode of notes: they name files, servers and sessions, which only the user may read.
const PRIVATE: u32 = 0o600;
/// Upper bound of notes that are read. Those that the client writes are far smaller.
const MAX_READ_BYTES: u64 = 64 * 1024 * 1024;

/// Follows no link, and does not wait for the other end of a named pipe.
fn flags() -> i32 {
    (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32
}

/// Opens a file for reading and writing, or creates it. Does not truncate.
///
/// # Errors
/// When it cannot be opened, is a symbolic link or not a regular file, or has a second name (hard link).
pub fn open(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(mode).custom_flags(flags());
    let file = options.open(path).map_err(|error| explained(error, path))?;
    let metadata = file.metadata()?;
    match (metadata.is_file(), metadata.nlink()) {
        (false, _) => Err(io::Error::other("is not a regular file, and was left alone")),
        (true, 2..) => Err(io::Error::other("has a second name (a hard link), and was left alone")),
        _ => Ok(file),
    }
}

/// Opens a file as [`open`] does; a new one is readable only by its user.
///
/// # Errors
/// As [`open`].
pub fn open_private(path: &Path) -> io::Result<File> {
    open(path, PRIVATE)
}

/// The whole content of a file of notes.
///
/// # Errors
/// When it cannot be read, is a symbolic link or not a regular file.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file =
        OpenOptions::new().read(true).custom_flags(flags()).open(path).map_err(|error| explained(error, path))?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_READ_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Replaces `path` by a file with `bytes`, written to `new_path` first: atomic, also across a power cut. Readable only by its user.
///
/// # Errors
/// When one of them cannot be written.
pub fn replace(path: &Path, new_path: &Path, bytes: &[u8]) -> io::Result<()> {
    remove(new_path)?;
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(PRIVATE).custom_flags(flags()).open(new_path)?;
    file.write_all(bytes)?;
    // Without the sync, a power cut may leave the new name with neither content.
    file.sync_data()?;
    fs::rename(new_path, path)
}

/// Removes a file, if it is there.
///
/// # Errors
/// When it is there and cannot be removed.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Renames a file to a free name.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] when the name is taken; nothing has changed then.
pub(crate) fn rename_to_free_name(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // An old kernel, or a filesystem without RENAME_NOREPLACE (NFS, some of FUSE).
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => link_to_free_name(from, to),
        outcome => outcome.map_err(Into::into),
    }
}

fn link_to_free_name(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::link(from, to) {
        Ok(()) => fs::remove_file(from),
        // A filesystem without links (exFAT): an empty file of our own takes the name first.
        Err(Errno::PERM | Errno::NOSYS | Errno::OPNOTSUPP) => claim_free_name(from, to),
        Err(errno) => Err(errno.into()),
    }
}

fn claim_free_name(from: &Path, to: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(to)?;
    fs::rename(from, to)
}

fn explained(error: io::Error, path: &Path) -> io::Error {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => io::Error::other("is a symbolic link, and is left alone"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_link_leads_no_write_elsewhere() {
        let directory = tempfile::tempdir().unwrap();
        let (mine, link, hard) =
            (directory.path().join("mine"), directory.path().join("link"), directory.path().join("hard"));
        fs::write(&mine, "precious").unwrap();
        symlink(&mine, &link).unwrap();
        assert!(open(&link, 0o666).unwrap_err().to_string().contains("symbolic link"));
        assert!(read(&link).unwrap_err().to_string().contains("symbolic link"));
        // Not even one that leads to nothing.
        symlink(directory.path().join("nothing"), directory.path().join("dangling")).unwrap();
        assert!(open(&directory.path().join("dangling"), 0o666).is_err());
        assert!(!directory.path().join("nothing").exists());
        fs::hard_link(&mine, &hard).unwrap();
        assert!(open(&hard, 0o666).unwrap_err().to_string().contains("second name"));
        // A link is replaced itself.
        let new = directory.path().join("new");
        symlink(&mine, &new).unwrap();
        replace(&link, &new, b"state").unwrap();
        assert_eq!((fs::read(&mine).unwrap(), fs::read(&link).unwrap()), (b"precious".to_vec(), b"state".to_vec()));
        assert!(!fs::symlink_metadata(&link).unwrap().is_symlink() && !new.exists());
    }

    #[test]
    fn a_named_pipe_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(open(&pipe, 0o666).is_err() && read(&pipe).is_err());
    }

    #[test]
    fn what_is_remembered_is_for_the_user_alone() {
        let directory = tempfile::tempdir().unwrap();
        let (path, new) = (directory.path().join("state"), directory.path().join("new"));
        replace(&path, &new, b"1").unwrap();
        open_private(&directory.path().join("lock")).unwrap();
        for name in ["state", "lock"] {
            let mode = fs::metadata(directory.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn a_name_that_was_taken_in_between_keeps_its_file() {
        type Rename = fn(&Path, &Path) -> io::Result<()>;
        let ways: [(&str, Rename); 3] =
            [("renameat2", rename_to_free_name), ("link", link_to_free_name), ("create", claim_free_name)];
        for (way, rename) in ways {
            let directory = tempfile::tempdir().unwrap();
            let (from, to) = (directory.path().join("from"), directory.path().join("to"));
            fs::write(&from, "new").unwrap();
            // Nothing but the name counts, not where a link leads.
            symlink("/nowhere", &to).unwrap();
            assert_eq!(rename(&from, &to).unwrap_err().kind(), io::ErrorKind::AlreadyExists, "{way}");
            fs::remove_file(&to).unwrap();
            fs::write(&to, "old").unwrap();
            assert_eq!(rename(&from, &to).unwrap_err().kind(), io::ErrorKind::AlreadyExists, "{way}");
            assert_eq!((fs::read(&from).unwrap(), fs::read(&to).unwrap()), (b"new".to_vec(), b"old".to_vec()), "{way}");
            fs::remove_file(&to).unwrap();
            rename(&from, &to).unwrap();
            assert!(!from.exists(), "{way}");
            assert_eq!(fs::read(&to).unwrap(), b"new", "{way}");
        }
    }
}
