//! Tells a second server on one data directory where locks do not: two mounts of one directory (FUSE, network
//! filesystems) each have locks of their own.
//!
//! The file `owner` names the process that serves the directory and counts its heartbeats. Invariants: a server starts only
//! over a record whose process has ended or whose heartbeats have stopped; a server that finds another one's record in
//! place of its own ends at once, because both would write to one database. An orderly stop removes the record.
//!
//! On a full disk a record may find no room. The room kept for the database is given up for it, because nothing is deleted on
//! that disk before the server has started. Where that does not suffice the lock has to do until a heartbeat finds room.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use uuid::Uuid;

use super::boot_id::boot_id;
use crate::db::reserve::{DatabaseReserve, is_full};
use crate::failpoint;

/// Time between two heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// How long a record of a process that may be alive is watched: two heartbeats and the second for which FUSE keeps
/// attributes.
const WATCH: Duration = Duration::from_secs(5);
/// Heartbeats that fail one after the other until the directory is taken for gone.
const MAX_FAILURES: u32 = 3;
/// Bytes of a record, padded with spaces, so that each one is written over the last.
const RECORD_BYTES: usize = 256;

/// Owns a data directory until it is dropped.
#[derive(Debug)]
pub(crate) struct DirectoryOwner {
    path: PathBuf,
    process: Process,
    /// Dropped to end the heartbeats.
    stop: Option<mpsc::Sender<()>>,
    heartbeats: Option<JoinHandle<()>>,
}

/// The directory is in use by the process that is named.
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

impl DirectoryOwner {
    /// Takes the directory. The caller has its lock, as far as locks reach. Blocks, for [`WATCH`] where the last owner may
    /// be alive.
    pub(crate) fn take(directory: &Path) -> Result<Self, NotTaken> {
        let path = directory.join("owner");
        if let Some(found) = read(&path)? {
            wait_for_silence(&path, &found, WATCH)?;
        }
        let process = Process::this();
        let begun = begin(directory, &path, &process).and_then(|file| {
            let (stop, stopped) = mpsc::channel();
            let (beating, at) = (process.clone(), path.clone());
            let beat_on = move || {
                // Without heartbeats another server would take the directory from one that serves it.
                while catch_unwind(AssertUnwindSafe(|| beat(&at, &file, &beating, &stopped))).is_err() {
                    tracing::error!("the heartbeat panicked, and goes on");
                }
            };
            Ok((stop, std::thread::Builder::new().name("owner".to_owned()).spawn(beat_on)?))
        });
        match begun {
            Ok((stop, heartbeats)) => Ok(Self { path, process, stop: Some(stop), heartbeats: Some(heartbeats) }),
            Err(error) => {
                // An empty or torn record would hold the next start up. The one that was there was another's that has ended.
                let _ = std::fs::remove_file(&path);
                Err(error.into())
            }
        }
    }
}

/// Writes the first record, as far as the disk has room for it.
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
            tracing::warn!(%error, "the disk is full; used the room kept for the database");
            record()
        }
        recorded => recorded,
    };
    match recorded {
        Err(error) if is_full(&error) => {
            tracing::warn!(%error, directory = %directory.display(), "there is no room to note who serves the data directory; its lock has to do");
        }
        recorded => recorded?,
    }
    Ok(file)
}

impl Drop for DirectoryOwner {
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

/// Renews the record until `stopped`. A directory that cannot be reached for some heartbeats ends the server: files and database
/// that were open when its filesystem went away stay unusable when it comes back, and only a new start opens them anew.
fn beat(path: &Path, file: &File, process: &Process, stopped: &mpsc::Receiver<()>) {
    let mut failures = 0;
    for count in 1.. {
        match stopped.recv_timeout(HEARTBEAT) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
        failpoint::hit("owner.beat");
        if let Some(other) = other_owner(path, process) {
            tracing::error!(owner = %other, directory = %path.display(), "another server took the data directory; this one ends at once");
            std::process::exit(1);
        }
        match reach(path, file, process, count) {
            Ok(()) => failures = 0,
            Err(error) => {
                failures += 1;
                tracing::warn!(%error, failures, "the heartbeat could not be written");
                if failures == MAX_FAILURES {
                    let directory = path.parent().unwrap_or(path).display();
                    tracing::error!(%directory, %error, "the data directory cannot be reached any more; the server ends");
                    std::process::exit(1);
                }
            }
        }
    }
}

/// Writes to the file that has been open all the time, and looks for it by its name: where a mount was taken away an empty directory
/// is left, and files that were open go on working.
fn reach(path: &Path, file: &File, process: &Process, beats: u64) -> io::Result<()> {
    match write(file, process, beats) {
        // Others have filled the disk. The lock has to do until there is room.
        Err(error) if is_full(&error) => {}
        written => written?,
    }
    // Somebody may have deleted the record alone.
    std::fs::metadata(path).or_else(|_| std::fs::metadata(path.with_file_name("lock"))).map(drop)
}

/// Another process's record in the place of this one's. One that is gone or unreadable proves nothing.
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

/// A record as it was found.
struct Record {
    text: String,
    /// `None` where it is not readable: cut off by the end of the machine, or a later version's.
    process: Option<Process>,
}

fn read(path: &Path) -> io::Result<Option<Record>> {
    // Opened anew each time: that is when network filesystems look at the server's version.
    let text = match std::fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let process = Process::parse(&text);
    Ok(Some(Record { text, process }))
}

fn write(file: &File, process: &Process, beats: u64) -> io::Result<()> {
    let Process { server, boot, namespace, pid, started } = process;
    let line = format!("{server} {boot} {namespace} {pid} {started} {beats}");
    file.write_all_at(format!("{line:<width$}\n", width = RECORD_BYTES - 1).as_bytes(), 0)
}

/// A process, told from every other one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Process {
    /// Random: two containers may agree in all the rest.
    server: Uuid,
    /// The kernel's boot id.
    boot: String,
    /// The namespace in which `pid` has a meaning.
    namespace: String,
    pid: u32,
    /// When it started, in clock ticks after the boot: a pid is used again.
    started: u64,
}

impl Process {
    fn this() -> Self {
        let pid = std::process::id();
        Self {
            server: Uuid::new_v4(),
            boot: boot_id(),
            namespace: namespace(),
            pid,
            started: started(pid).unwrap_or_default(),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split_whitespace();
        let process = Self {
            server: Uuid::try_parse(fields.next()?).ok()?,
            boot: fields.next()?.to_owned(),
            namespace: fields.next()?.to_owned(),
            pid: fields.next()?.parse().ok()?,
            started: fields.next()?.parse().ok()?,
        };
        fields.next()?.parse::<u64>().ok().map(|_| process)
    }

    /// Whether it is known to have ended. Nothing is known of another machine or container. This process itself counts: it
    /// has the lock, so its earlier record is a leftover.
    fn has_ended(&self) -> bool {
        let is_near = self.boot == boot_id() && self.namespace == namespace();
        is_near && (self.pid == std::process::id() || started(self.pid) != Some(self.started))
    }
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.boot == boot_id() && self.namespace == namespace() {
            true => write!(f, "process {} of this machine", self.pid),
            false => write!(f, "process {} of another machine or container", self.pid),
        }
    }
}

fn namespace() -> String {
    let link = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    Some(link.display().to_string()).filter(|name| !name.is_empty()).unwrap_or_else(|| "-".to_owned())
}

/// When a process started, in clock ticks after the boot (proc(5), field 22 of `stat`). The name in front, in brackets, may
/// have spaces and brackets of its own.
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, behind_name) = stat.rsplit_once(')')?;
    behind_name.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
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
        let owner = DirectoryOwner::take(directory.path()).unwrap();
        let found = read(&owner.path).unwrap().unwrap();
        assert_eq!((found.process.as_ref(), found.text.len()), (Some(&owner.process), RECORD_BYTES));
        drop(owner);
        assert!(read(&directory.path().join("owner")).unwrap().is_none());
    }

    #[test]
    fn a_process_that_has_ended_holds_nobody_up() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let started = started(child.id()).unwrap();
        let process = Process { pid: child.id(), started, ..Process::this() };
        assert!(!process.has_ended());
        assert!(Process { started: started + 1, ..process.clone() }.has_ended(), "the pid is another process's by now");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(process.has_ended());
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
