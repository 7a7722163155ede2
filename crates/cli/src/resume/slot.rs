//! A slot: the files of one upload in the state directory, locked by one process.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use partway_client::{SentPart, local_files};
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::ResumeError;
use super::memory::Memory;

/// Age of a record that is deleted. No unused session lives as long.
pub(super) const FORGET_AFTER: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Attempts to take a lock that another process holds, and the pause between them.
const LOCK_ATTEMPTS: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// The names of all slots.
pub(super) fn slot_names(directory: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
}

/// Locks a slot other than `own` whose record fits; the caller deletes it once it has written the record elsewhere. Deletes old
/// records on the way. Only slots that are taken or deleted are locked, so that no other process finds one busy for nothing.
pub(super) fn take_over(directory: &Path, own: &str, fits: &dyn Fn(&Memory) -> bool) -> Option<(Memory, Slot)> {
    for name in slot_names(directory).filter(|name| name != own) {
        let seen = Slot::read_at(directory, &name);
        let fits_now = |memory: &Option<Memory>| memory.as_ref().is_some_and(fits);
        if !fits_now(&seen) && !Slot::is_old(directory, &name) {
            continue;
        }
        // A locked slot is in use.
        let Ok(slot) = Slot::try_lock(directory, &name) else { continue };
        match slot.read() {
            memory if fits_now(&memory) => return memory.map(|memory| (memory, slot)),
            _ if Slot::is_old(directory, &name) => slot.forget(),
            _ => {}
        }
    }
    None
}

/// The files of one upload, locked. The kernel releases the lock when the process ends.
#[derive(Debug)]
pub(super) struct Slot {
    directory: PathBuf,
    pub(super) name: String,
    _lock: File,
    /// The file of parts, once one was recorded.
    parts: Option<File>,
}

/// A line of the file of parts. Its end repeats the index: a line that was cut, and the one after it that starts in the middle,
/// do not parse.
fn part_line(index: u32, part: &SentPart) -> String {
    format!("{index} {} {} .{index}\n", blake3::Hash::from_bytes(part.hash).to_hex(), part.etag)
}

fn parse_part(line: &str) -> Option<(u32, SentPart)> {
    let (index, rest) = line.split_once(' ')?;
    let (hash, etag) = rest.strip_suffix(&format!(" .{index}"))?.split_once(' ')?;
    let part = SentPart { hash: blake3::Hash::from_hex(hash).ok()?.into(), etag: etag.to_owned() };
    Some((index.parse().ok()?, part))
}

impl Slot {
    /// Locks a slot. Waits a moment for a process that only examines it.
    pub(super) fn lock(directory: &Path, name: &str) -> Result<Self, ResumeError> {
        let mut tries = 0;
        loop {
            match Self::try_lock(directory, name) {
                Err(ResumeError::Busy { .. }) if tries < LOCK_ATTEMPTS => {
                    tries += 1;
                    std::thread::sleep(LOCK_PAUSE);
                }
                outcome => return outcome,
            }
        }
    }

    fn try_lock(directory: &Path, name: &str) -> Result<Self, ResumeError> {
        let path = directory.join(format!("{name}.lock"));
        let failed = |source: io::Error| ResumeError::State { path: path.clone(), source };
        loop {
            let lock = local_files::open_private(&path).map_err(failed)?;
            match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => {
                    let text = local_files::read(&path).unwrap_or_default();
                    let pid = String::from_utf8_lossy(&text).trim().parse().ok();
                    return Err(ResumeError::Busy { pid });
                }
                // The home directory may be on a filesystem without locks.
                Err(errno) => return Err(failed(errno.into())),
            }
            // The last holder may have removed the file in between. Then this lock protects nothing, and the new file is tried.
            let here = fs::metadata(&path).map(|metadata| metadata.ino()).ok();
            if here == Some(lock.metadata().map_err(failed)?.ino()) {
                lock.set_len(0)
                    .and_then(|()| lock.write_all_at(std::process::id().to_string().as_bytes(), 0))
                    .map_err(failed)?;
                return Ok(Self { directory: directory.to_owned(), name: name.to_owned(), _lock: lock, parts: None });
            }
        }
    }

    fn path(&self, extension: &str) -> PathBuf {
        self.directory.join(format!("{}.{extension}", self.name))
    }

    /// The record; `None` also when it cannot be read.
    pub(super) fn read(&self) -> Option<Memory> {
        Self::read_at(&self.directory, &self.name)
    }

    pub(super) fn read_at(directory: &Path, name: &str) -> Option<Memory> {
        serde_json::from_slice(&local_files::read(&directory.join(format!("{name}.json"))).ok()?).ok()
    }

    pub(super) fn write(&self, memory: &Memory) -> Result<(), ResumeError> {
        let (path, new) = (self.path("json"), self.path("new"));
        let failed = |source| ResumeError::State { path: path.clone(), source };
        let text = serde_json::to_vec_pretty(memory).map_err(|error| failed(error.into()))?;
        local_files::replace(&path, &new, &text).map_err(failed)
    }

    /// The recorded parts. A line that does not parse is ignored: its part is sent again.
    pub(super) fn read_parts(&self) -> HashMap<u32, SentPart> {
        let text = local_files::read(&self.path("parts")).unwrap_or_default();
        String::from_utf8_lossy(&text).lines().filter_map(parse_part).collect()
    }

    /// Records these parts and no others.
    pub(super) fn write_parts(&mut self, parts: &HashMap<u32, SentPart>) -> Result<(), ResumeError> {
        let (path, new) = (self.path("parts"), self.path("parts.new"));
        self.parts = None;
        let text: String = parts.iter().map(|(index, part)| part_line(*index, part)).collect();
        let outcome = match parts.is_empty() {
            true => local_files::remove(&path),
            false => local_files::replace(&path, &new, text.as_bytes()),
        };
        outcome.map_err(|source| ResumeError::State { path, source })
    }

    /// Records one more part.
    pub(super) fn add_part(&mut self, index: u32, part: &SentPart) -> Result<(), ResumeError> {
        let path = self.path("parts");
        let mut add = || {
            let file = match &mut self.parts {
                Some(file) => file,
                none => none.insert(local_files::open_private(&path)?),
            };
            file.seek(SeekFrom::End(0))?;
            file.write_all(part_line(index, part).as_bytes())
        };
        let outcome = add();
        outcome.map_err(|source| ResumeError::State { path, source })
    }

    fn is_old(directory: &Path, name: &str) -> bool {
        let modified = fs::metadata(directory.join(format!("{name}.json"))).and_then(|metadata| metadata.modified());
        let age = modified.ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
        age.is_some_and(|age| age > FORGET_AFTER)
    }

    /// Deletes the record.
    pub(super) fn forget(self) {
        let _ = fs::remove_file(self.path("json"));
        let _ = fs::remove_file(self.path("parts"));
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // A slot without a record needs no lock file. It is removed while it is still locked, so a process that opened it
        // before finds that it protects nothing.
        if !self.path("json").exists() {
            let _ = fs::remove_file(self.path("lock"));
        }
    }
}
