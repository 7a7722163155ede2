//! The file that is uploaded.

use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Error;

/// Bytes read at once when only their hash is wanted.
const READ_BYTES: usize = 256 * 1024;

/// An open file that must not change. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) file: Arc<File>,
    path: PathBuf,
    before: Metadata,
}

impl Source {
    /// Opens the file at `path`.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::File { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let before = file.metadata().map_err(failed)?;
        let source = Self { file: Arc::new(file), path: path.to_owned(), before };
        if !source.before.is_file() {
            return Err(source.unfit("is not a file"));
        }
        if source.size_bytes() == 0 {
            return Err(source.unfit("is empty; the smallest upload is one byte"));
        }
        Ok(source)
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.before.len()
    }

    pub(crate) fn unfit(&self, problem: &'static str) -> Error {
        Error::Unfit { path: self.path.clone(), problem }
    }

    /// Parts of two versions of a file are no file.
    pub(crate) fn check_unchanged(&self) -> Result<(), Error> {
        let now = std::fs::metadata(&self.path).map_err(|source| Error::File { path: self.path.clone(), source })?;
        if now.len() == self.before.len() && now.modified().ok() == self.before.modified().ok() {
            return Ok(());
        }
        Err(self.unfit("changed while it was uploaded; it was not completed"))
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
