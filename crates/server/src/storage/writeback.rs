//! Starts to write dirty pages to the disk before a sync waits for them.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;

/// Asks the kernel to start writing `range` of the file, without waiting for it: the sync at complete then finds most
/// of the work done. Promises nothing; only a sync does. May block while the disk's queue is full.
///
/// # Errors
/// When the filesystem cannot do it, which may be ignored.
#[expect(unsafe_code, reason = "no crate in use wraps sync_file_range(2)")]
pub(super) fn start(file: &File, range: &Range<u64>) -> io::Result<()> {
    let invalid = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let offset = i64::try_from(range.start).map_err(invalid)?;
    let length = i64::try_from(range.end - range.start).map_err(invalid)?;
    // SAFETY: the descriptor is open for as long as `file` is borrowed; the call takes no pointers.
    let result = unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, libc::SYNC_FILE_RANGE_WRITE) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
