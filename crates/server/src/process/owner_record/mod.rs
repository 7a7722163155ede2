//! Detects a second server on one data directory where the lock in `data_dir.rs` cannot: two mounts of one directory (FUSE,
//! network filesystems) each have locks of their own.
//!
//! The file `owner` names the process that serves the directory and counts its heartbeats. Invariants: a server starts only
//! over a record whose process has ended or whose heartbeats have stopped; a server that finds another server's record in
//! place of its own ends at once, because both would write to one database. An orderly stop removes the record.
//!
//! A full disk may have no space for a record. The reserve of the database is released for it: before the server has
//! started, nothing else frees space. If that is not enough, the lock alone protects the directory until a heartbeat
//! finds space.

mod record;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use record::{Process, Record, read, write};

use crate::db::reserve::{DatabaseReserve, is_full};
use crate::failpoint;

/// Time between two heartbeats.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(2);
/// How long the record of a process that may be alive is watched: two heartbeats, and the second for which FUSE caches
/// attributes.
const WATCH_TIME: Duration = Duration::from_secs(5);
/// Heartbeats that fail in a row until the directory counts as gone.
const MAX_FAILED_HEARTBEATS: u32 = 3;

/// Owns a data directory until it is dropped.
#[derive(Debug)]
pub(crate) struct DirectoryGuard {
    path: PathBuf,
    process: Process,
    /// Dropped to end the heartbeats.
    stop: Option<mpsc::Sender<()>>,
    heartbeats: Option<JoinHandle<()>>,
}

/// The directory is in use by this process.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct OwnedBy(String);

/// Why a directory could not be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotTaken {
    /// Another process serves it.
    #[error(transparent)]
    Owned(#[from] OwnedBy),
    /// Its record cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl DirectoryGuard {
    /// Takes the directory. The caller has its lock, as far as locks reach. Blocks, for [`WATCH_TIME`] if the last owner may
    /// be alive.
    pub(crate) fn take(directory: &Path) -> Result<Self, NotTaken> {
        let path = directory.join("owner");
        if let Some(found) = read(&path)? {
            wait_for_silence(&path, &found, WATCH_TIME)?;
        }
        let process = Process::this();
        let begun = begin(directory, &path, &process).and_then(|file| {
            let (stop, stopped) = mpsc::channel();
            let (beating, at) = (process.clone(), path.clone());
            let beat_on = move || {
                // Without heartbeats another server would take the directory while this one serves it.
                while catch_unwind(AssertUnwindSafe(|| beat(&at, &file, &beating, &stopped))).is_err() {
                    tracing::error!("the heartbeat panicked; it continues");
                }
            };
            Ok((stop, std::thread::Builder::new().name("owner".to_owned()).spawn(beat_on)?))
        });
        match begun {
            Ok((stop, heartbeats)) => Ok(Self { path, process, stop: Some(stop), heartbeats: Some(heartbeats) }),
            Err(error) => {
                // An empty or torn record would delay the next start. The former record's process has ended.
                let _ = std::fs::remove_file(&path);
                Err(error.into())
            }
        }
    }
}

/// Writes the first record if the disk has space for it.
fn begin(directory: &Path, path: &Path, process: &Process) -> io::Result<File> {
    let open = || OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let reserve = DatabaseReserve::new(directory);
    let make_room = |error: &io::Error| is_full(error) && reserve.give_up().is_ok() && reserve.is_given_up();
    let file = match open() {
        Err(error) if make_room(&error) => open()?,
        opened => opened?,
    };
    let record = || write(&file, process, 0).and_then(|()| file.sync_all());
    let recorded = match record() {
        Err(error) if make_room(&error) => {
            tracing::warn!(%error, "the disk is full; the record of this server uses the space reserved for the database");
            record()
        }
        recorded => recorded,
    };
    match recorded {
        Err(error) if is_full(&error) => {
            tracing::warn!(%error, directory = %directory.display(), "the disk has no space for the record of this server; the lock alone protects the data directory");
        }
        recorded => recorded?,
    }
    Ok(file)
}

impl Drop for DirectoryGuard {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(heartbeats) = self.heartbeats.take() {
            let _ = heartbeats.join();
        }
        if let Ok(Some(Record { process, text })) = read(&self.path)
            && process.map_or(text.is_empty(), |owner| owner == self.process)
        {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Renews the record until `stopped`. A directory that is unreachable for [`MAX_FAILED_HEARTBEATS`] ends the server: files and
/// database that were open when its filesystem went away stay unusable when it comes back, and only a new start opens them again.
fn beat(path: &Path, file: &File, process: &Process, stopped: &mpsc::Receiver<()>) {
    let mut failures = 0;
    for count in 1.. {
        match stopped.recv_timeout(HEARTBEAT_INTERVAL) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
        failpoint::hit("owner.beat");
        if let Some(other) = other_owner(path, process) {
            tracing::error!(owner = %other, directory = %path.display(), "another server has taken the data directory; this server ends at once");
            std::process::exit(1);
        }
        match write_heartbeat(path, file, process, count) {
            Ok(()) => failures = 0,
            Err(error) => {
                failures += 1;
                tracing::warn!(%error, failures, "cannot write the heartbeat");
                if failures == MAX_FAILED_HEARTBEATS {
                    let directory = path.parent().unwrap_or(path).display();
                    tracing::error!(%directory, %error, "the data directory is unreachable; the server ends");
                    std::process::exit(1);
                }
            }
        }
    }
}

/// Writes to the open file, and looks for it by its name: an unmount leaves an empty directory, while open files continue to
/// work.
fn write_heartbeat(path: &Path, file: &File, process: &Process, beats: u64) -> io::Result<()> {
    match write(file, process, beats) {
        // The lock alone protects the directory until the disk has space.
        Err(error) if is_full(&error) => {}
        written => written?,
    }
    // The record alone may have been deleted.
    std::fs::metadata(path).or_else(|_| std::fs::metadata(path.with_file_name("lock"))).map(drop)
}

/// The other process whose record has replaced this one's. A record that is gone or unreadable proves nothing.
fn other_owner(path: &Path, process: &Process) -> Option<Process> {
    read(path).ok()??.process.filter(|owner| owner != process)
}

/// Returns once the record's process is known to have ended, or its heartbeats have stopped.
fn wait_for_silence(path: &Path, found: &Record, watch: Duration) -> Result<(), NotTaken> {
    if found.process.as_ref().is_some_and(Process::has_ended) {
        return Ok(());
    }
    std::thread::sleep(watch);
    match read(path)? {
        Some(now) if now.text != found.text => {
            let owner = now.process.map_or_else(|| "an unknown process".to_owned(), |process| process.to_string());
            Err(OwnedBy(owner).into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::record::RECORD_BYTES;
    use super::*;

    const SHORT: Duration = Duration::from_millis(300);

    fn record(path: &Path, process: &Process, beats: u64) {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).unwrap();
        write(&file, process, beats).unwrap();
    }

    fn elsewhere() -> Process {
        Process { boot: "other".to_owned(), ..Process::this() }
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_goes_with_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let owner = DirectoryGuard::take(directory.path()).unwrap();
        let found = read(&owner.path).unwrap().unwrap();
        assert_eq!((found.process.as_ref(), found.text.len()), (Some(&owner.process), RECORD_BYTES));
        drop(owner);
        assert!(read(&directory.path().join("owner")).unwrap().is_none());
    }

    #[test]
    fn a_record_with_heartbeats_is_a_server_and_one_without_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("owner");
        record(&path, &elsewhere(), 7);
        let found = read(&path).unwrap().unwrap();
        assert!(wait_for_silence(&path, &found, SHORT).is_ok(), "a copy of a directory, or a machine that is off");
        let (beating, other) = (path.clone(), found.process.clone().unwrap());
        let beat = std::thread::spawn(move || {
            std::thread::sleep(SHORT / 3);
            record(&beating, &other, 8);
        });
        let refused = wait_for_silence(&path, &found, SHORT).unwrap_err();
        beat.join().unwrap();
        assert!(matches!(&refused, NotTaken::Owned(_)), "{refused}");
        assert!(refused.to_string().contains("another machine or container"), "{refused}");
    }

    #[test]
    fn another_servers_record_is_noticed_and_a_torn_one_is_not_taken_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let (path, this) = (directory.path().join("owner"), Process::this());
        assert!(other_owner(&path, &this).is_none());
        record(&path, &this, 1);
        assert!(other_owner(&path, &this).is_none());
        std::fs::write(&path, "0192 torn").unwrap();
        assert!(other_owner(&path, &this).is_none());
        record(&path, &elsewhere(), 1);
        assert!(other_owner(&path, &this).is_some());
    }
}
