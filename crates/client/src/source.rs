//! The file that is uploaded.

use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;

use crate::Error;

/// Bytes per read when only the hash is wanted.
const READ_BYTES: usize = 256 * 1024;

/// An open file that must not change. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) file: Arc<File>,
    path: PathBuf,
    before: Metadata,
}

impl Source {
    /// Opens the file at `path`. Blocks, but never on the other end of a pipe: anything but a regular file is refused without being
    /// opened.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::File { path: path.to_owned(), source };
        let refuse_if_unfit = |metadata: &Metadata| match problem_of(metadata.file_type()) {
            Some(problem) => Err(Error::Unfit { path: path.to_owned(), problem }),
            None => Ok(()),
        };
        refuse_if_unfit(&std::fs::metadata(path).map_err(failed)?)?;
        // The path may name something else by now.
        let options = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path);
        let file = options.map_err(failed)?;
        let before = file.metadata().map_err(failed)?;
        refuse_if_unfit(&before)?;
        Ok(Self { file: Arc::new(file), path: path.to_owned(), before })
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.before.len()
    }

    pub(crate) fn unfit(&self, problem: &'static str) -> Error {
        Error::Unfit { path: self.path.clone(), problem }
    }

    /// Fails when the file has changed since it was opened: its parts would be of two versions.
    pub(crate) fn check_unchanged(&self) -> Result<(), Error> {
        let now = std::fs::metadata(&self.path).map_err(|source| Error::File { path: self.path.clone(), source })?;
        if now.len() == self.before.len() && now.modified().ok() == self.before.modified().ok() {
            return Ok(());
        }
        Err(self.unfit("changed during the upload, which was not completed"))
    }

    /// The BLAKE3 of the bytes of `range`. Blocks.
    pub(crate) fn hash(&self, range: Range<u64>) -> Result<[u8; 32], Error> {
        let mut hasher = blake3::Hasher::new();
        self.read(range, |bytes| {
            hasher.update(bytes);
        })?;
        Ok(hasher.finalize().into())
    }

    /// Calls `each` with all bytes of `range`, in order. Blocks.
    pub(crate) fn read(&self, range: Range<u64>, mut each: impl FnMut(&[u8])) -> Result<(), Error> {
        let failed = |source: io::Error| Error::File { path: self.path.clone(), source };
        let mut buffer = vec![0; READ_BYTES];
        let mut offset = range.start;
        while offset < range.end {
            let length = READ_BYTES.min(usize::try_from(range.end - offset).unwrap_or(READ_BYTES));
            self.file.read_exact_at(&mut buffer[..length], offset).map_err(failed)?;
            each(&buffer[..length]);
            offset += length as u64;
        }
        Ok(())
    }
}

/// The reason why something of this type cannot be uploaded. Parts are read at their offsets, and again for each retry.
fn problem_of(file_type: FileType) -> Option<&'static str> {
    if file_type.is_file() {
        return None;
    }
    Some(match () {
        () if file_type.is_dir() => "is a directory, and not a file; name the files in it",
        () if file_type.is_fifo() => "is a pipe, and not a file; write its output to a file first",
        () if file_type.is_socket() => "is a socket, and not a file",
        () if file_type.is_char_device() || file_type.is_block_device() => "is a device, and not a file",
        () => "is not a file",
    })
}
