//! What the client remembers of uploads that are not finished, so that the same command goes on with them.
//!
//! One small JSON file for each upload in the user's state directory, named by the hash of server, key, path and
//! destination. It is written before the server is asked for anything, with the key under which starting may be
//! repeated; so whenever a process ends, the next one finds the same session. A lock beside each file keeps two
//! processes from sending one file at once. Where the server compares no hash of the whole, a third file names the hash of
//! each part that has arrived and the ETag that the store answered, a line for each.
//!
//! Invariant: a hash is noted only when what it is of has arrived, and of a part that is to be sent again it is taken away
//! before: a part whose hash is that of the file is the file's.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use etcetera::BaseStrategy;
use partway_client::{SentPart, local_files};
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// What is older is forgotten; no session lives so long unused.
const FORGET_AFTER: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How often, and with what pause, a lock that somebody holds is tried again.
const LOOKS: u32 = 20;
const LOOK_PAUSE: Duration = Duration::from_millis(50);
/// Pieces of a file that its fingerprint looks at, and their length.
const SAMPLES: u64 = 16;
const SAMPLE_BYTES: u64 = 64 * 1024;

/// Where a file is to go: another destination is another upload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Destination {
    pub(crate) server: String,
    /// Hash of the key, which itself is never written.
    pub(crate) key_hash: String,
    pub(crate) name: String,
    pub(crate) folder: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) metadata: Map<String, Value>,
    pub(crate) custom_id: Option<String>,
    pub(crate) random_prefix: bool,
}

impl Destination {
    /// The hash of a key by which uploads of different keys are told apart.
    pub(crate) fn hash_of_key(key: &str) -> String {
        blake3::hash(key.as_bytes()).to_hex()[..16].to_owned()
    }
}

/// What is remembered of one upload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Memory {
    destination: Destination,
    path: PathBuf,
    size_bytes: u64,
    modified_ns: i128,
    fingerprint: String,
    idempotency_key: String,
    session_id: Option<String>,
}

/// One upload that is remembered while it is under way. Nobody else works on it.
#[derive(Debug)]
pub(crate) struct Remembered {
    memory: Memory,
    slot: Slot,
    /// Whether it is of an earlier run.
    is_recalled: bool,
    /// A session of an earlier version of the file, which nobody wants any more.
    outdated_session: Option<String>,
}

/// Why an upload cannot be remembered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResumeError {
    /// Another process sends the same file to the same place.
    #[error("another partway upload is sending this file, or goes on with this session{}", pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Busy {
        /// Which process, if it said so.
        pid: Option<u32>,
    },
    /// The file cannot be looked at.
    #[error("{path}: {source}")]
    Source {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The state directory cannot be used.
    #[error("{path}: {source}")]
    State {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The user's state directory for this program; `None` when the user has none.
pub(crate) fn state_dir() -> Option<PathBuf> {
    let base = etcetera::choose_base_strategy().ok()?;
    Some(base.state_dir()?.join("partway").join("uploads"))
}

impl Remembered {
    /// Remembers the upload of `file` to `destination`, or recalls it: of the same path, size and modification time, or
    /// of the same content.
    pub(crate) fn open(directory: &Path, file: &Path, destination: Destination) -> Result<Self, ResumeError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|source| ResumeError::State { path: directory.to_owned(), source })?;
        let unreadable = |source| ResumeError::Source { path: file.to_owned(), source };
        let path = file.canonicalize().map_err(unreadable)?;
        let mut slot = Slot::lock(directory, &slot_name(&destination, &path))?;
        let source = File::open(&path).map_err(unreadable)?;
        let metadata = source.metadata().map_err(unreadable)?;
        let (size_bytes, modified_ns) = (metadata.len(), modified_ns(&metadata));
        let own = slot.read();
        if let Some(memory) = &own
            && (memory.size_bytes, memory.modified_ns) == (size_bytes, modified_ns)
        {
            return Ok(Self { memory: memory.clone(), slot, is_recalled: true, outdated_session: None });
        }
        let fingerprint = fingerprint(&source, size_bytes).map_err(unreadable)?;
        let same = |memory: &Memory| memory.size_bytes == size_bytes && memory.fingerprint == fingerprint;
        let (same, other, outdated) = match own {
            Some(memory) if same(&memory) => (Some(memory), None, None),
            own => {
                let fits = |memory: &Memory| memory.destination == destination && same(memory);
                let (memory, slot) = take_over(directory, &slot.name, &fits).unzip();
                (memory, slot, own)
            }
        };
        let is_recalled = same.is_some();
        let memory = match same {
            Some(memory) => Memory { path, modified_ns, ..memory },
            None => Memory {
                destination,
                path,
                size_bytes,
                modified_ns,
                fingerprint,
                idempotency_key: Uuid::new_v4().to_string(),
                session_id: None,
            },
        };
        let outdated_session = outdated.and_then(|memory| memory.session_id);
        // First the parts, then what they are of: never those of another session with this one.
        match &other {
            Some(other) => slot.write_parts(&other.read_parts())?,
            None if !is_recalled => slot.write_parts(&HashMap::new())?,
            None => {}
        }
        slot.write(&memory)?;
        if let Some(other) = other {
            other.forget();
        }
        Ok(Self { memory, slot, is_recalled, outdated_session })
    }

    /// The notes of the upload with this session, if there are any.
    pub(crate) fn of_session(directory: &Path, session_id: &str) -> Result<Option<Self>, ResumeError> {
        let is_its = |memory: &Memory| memory.session_id.as_deref() == Some(session_id);
        for name in slot_names(directory) {
            if !Slot::read_at(directory, &name).as_ref().is_some_and(is_its) {
                continue;
            }
            let slot = Slot::lock(directory, &name)?;
            // Whoever had it may have finished it, or taken it elsewhere.
            if let Some(memory) = slot.read().filter(is_its) {
                return Ok(Some(Self { memory, slot, is_recalled: false, outdated_session: None }));
            }
        }
        Ok(None)
    }

    /// The session to go on with.
    pub(crate) fn session_id(&self) -> Option<&str> {
        self.memory.session_id.as_deref()
    }

    /// A session of an earlier version of the file.
    pub(crate) fn outdated_session(&self) -> Option<&str> {
        self.outdated_session.as_deref()
    }

    /// The key under which starting may be repeated.
    pub(crate) fn idempotency_key(&self) -> &str {
        &self.memory.idempotency_key
    }

    /// Whether anything of it is of an earlier run.
    pub(crate) fn is_recalled(&self) -> bool {
        self.is_recalled
    }

    /// The parts that have arrived, as far as they are noted.
    pub(crate) fn sent_parts(&self) -> HashMap<u32, SentPart> {
        self.slot.read_parts()
    }

    /// A part has arrived.
    pub(crate) fn note_part(&mut self, index: u32, part: &SentPart) -> Result<(), ResumeError> {
        self.slot.add_part(index, part)
    }

    /// Takes away what is noted of all parts but these, in ascending order: the others are going to be sent again.
    pub(crate) fn keep_parts(&mut self, indices: &[u32]) -> Result<(), ResumeError> {
        let mut parts = self.slot.read_parts();
        let all = parts.len();
        parts.retain(|index, _| indices.binary_search(index).is_ok());
        if parts.len() == all { Ok(()) } else { self.slot.write_parts(&parts) }
    }

    /// The server has made this session.
    pub(crate) fn set_session(&mut self, session_id: &str) -> Result<(), ResumeError> {
        if self.session_id() == Some(session_id) {
            return Ok(());
        }
        self.slot.write_parts(&HashMap::new())?;
        self.memory.session_id = Some(session_id.to_owned());
        self.slot.write(&self.memory)
    }

    /// What is remembered is of no use: begins anew.
    pub(crate) fn begin_anew(&mut self) -> Result<(), ResumeError> {
        self.is_recalled = false;
        self.slot.write_parts(&HashMap::new())?;
        self.memory.session_id = None;
        self.memory.idempotency_key = Uuid::new_v4().to_string();
        self.slot.write(&self.memory)
    }

    /// The upload is finished.
    pub(crate) fn forget(self) {
        self.slot.forget();
    }
}

fn slot_name(destination: &Destination, path: &Path) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&serde_json::to_vec(destination).unwrap_or_default());
    hasher.update(path.as_os_str().as_encoded_bytes());
    hasher.finalize().to_hex()[..32].to_owned()
}

fn modified_ns(metadata: &fs::Metadata) -> i128 {
    i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec())
}

/// A hash of samples all over the file: it finds nearly every change, in the time of about a MiB. What it misses, the
/// hash of the whole finds before the upload is completed, or those of the parts where nobody compares that.
fn fingerprint(file: &File, size_bytes: u64) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&size_bytes.to_le_bytes());
    let mut buffer = vec![0; SAMPLE_BYTES as usize];
    for sample in samples(size_bytes) {
        let length = (sample.end - sample.start) as usize;
        file.read_exact_at(&mut buffer[..length], sample.start)?;
        hasher.update(&buffer[..length]);
    }
    Ok(hasher.finalize().to_hex()[..32].to_owned())
}

/// Evenly spread over the file, its beginning and its end included; the whole file when it is small.
fn samples(size_bytes: u64) -> Vec<Range<u64>> {
    if size_bytes <= SAMPLES * SAMPLE_BYTES {
        return (0..size_bytes.div_ceil(SAMPLE_BYTES))
            .map(|index| index * SAMPLE_BYTES..((index + 1) * SAMPLE_BYTES).min(size_bytes))
            .collect();
    }
    let room = size_bytes - SAMPLE_BYTES;
    (0..SAMPLES)
        .map(|index| (u128::from(room) * u128::from(index) / u128::from(SAMPLES - 1)) as u64)
        .map(|begin| begin..begin + SAMPLE_BYTES)
        .collect()
}

/// The names of all that is remembered.
fn slot_names(directory: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
}

/// The memory of an upload that fits, and its slot, to be forgotten once the memory is written elsewhere. Old ones are
/// forgotten on the way. Only what is to be taken is locked: nobody else must find it busy for nothing.
fn take_over(directory: &Path, own: &str, fits: &dyn Fn(&Memory) -> bool) -> Option<(Memory, Slot)> {
    for name in slot_names(directory).filter(|name| name != own) {
        let seen = Slot::read_at(directory, &name);
        let fits_now = |memory: &Option<Memory>| memory.as_ref().is_some_and(fits);
        if !fits_now(&seen) && !Slot::is_old(directory, &name) {
            continue;
        }
        // One that is locked is being worked on.
        let Ok(slot) = Slot::try_lock(directory, &name) else { continue };
        match slot.read() {
            memory if fits_now(&memory) => return memory.map(|memory| (memory, slot)),
            _ if Slot::is_old(directory, &name) => slot.forget(),
            _ => {}
        }
    }
    None
}

/// The place of one upload's memory, locked. The lock goes with the process, however it ends.
#[derive(Debug)]
struct Slot {
    directory: PathBuf,
    name: String,
    _lock: File,
    /// The notes of parts, once there are any.
    parts: Option<File>,
}

/// The last word shows that the line is whole, and one: what is behind a line that was cut is of another part.
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
    /// Waits a moment for whoever only looks.
    fn lock(directory: &Path, name: &str) -> Result<Self, ResumeError> {
        let mut tries = 0;
        loop {
            match Self::try_lock(directory, name) {
                Err(ResumeError::Busy { .. }) if tries < LOOKS => {
                    tries += 1;
                    std::thread::sleep(LOOK_PAUSE);
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
                // A home directory on a filesystem without locks.
                Err(errno) => return Err(failed(errno.into())),
            }
            // Whoever had it may have removed it in between; then this is the lock of nothing.
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

    /// What is remembered. What cannot be read counts as nothing.
    fn read(&self) -> Option<Memory> {
        Self::read_at(&self.directory, &self.name)
    }

    fn read_at(directory: &Path, name: &str) -> Option<Memory> {
        serde_json::from_slice(&local_files::read(&directory.join(format!("{name}.json"))).ok()?).ok()
    }

    fn write(&self, memory: &Memory) -> Result<(), ResumeError> {
        let (path, new) = (self.path("json"), self.path("new"));
        let failed = |source| ResumeError::State { path: path.clone(), source };
        let text = serde_json::to_vec_pretty(memory).map_err(|error| failed(error.into()))?;
        local_files::replace(&path, &new, &text).map_err(failed)
    }

    /// The notes of parts. A line that was cut, or says nothing, counts for nothing: its part is sent again.
    fn read_parts(&self) -> HashMap<u32, SentPart> {
        let text = local_files::read(&self.path("parts")).unwrap_or_default();
        String::from_utf8_lossy(&text).lines().filter_map(parse_part).collect()
    }

    /// Notes these parts and no others.
    fn write_parts(&mut self, parts: &HashMap<u32, SentPart>) -> Result<(), ResumeError> {
        let (path, new) = (self.path("parts"), self.path("parts.new"));
        self.parts = None;
        let text: String = parts.iter().map(|(index, part)| part_line(*index, part)).collect();
        let outcome = match parts.is_empty() {
            true => local_files::remove(&path),
            false => local_files::replace(&path, &new, text.as_bytes()),
        };
        outcome.map_err(|source| ResumeError::State { path, source })
    }

    /// Notes one more.
    fn add_part(&mut self, index: u32, part: &SentPart) -> Result<(), ResumeError> {
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

    fn forget(self) {
        let _ = fs::remove_file(self.path("json"));
        let _ = fs::remove_file(self.path("parts"));
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Nothing is remembered: leaves no lock behind. Removed here alone, and while it is still held: whoever opened
        // it before finds that it is the lock of nothing.
        if !self.path("json").exists() {
            let _ = fs::remove_file(self.path("lock"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(name: &str) -> Destination {
        Destination {
            server: "http://x".into(),
            key_hash: Destination::hash_of_key("sk_1"),
            name: name.into(),
            folder: None,
            tags: Vec::new(),
            metadata: Map::new(),
            custom_id: None,
            random_prefix: false,
        }
    }

    fn part(byte: u8) -> SentPart {
        SentPart { hash: [byte; 32], etag: format!("{byte} \u{e4}-") }
    }

    struct Files {
        directory: tempfile::TempDir,
    }

    impl Files {
        fn new() -> Self {
            Self { directory: tempfile::tempdir().unwrap() }
        }

        fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
            let path = self.directory.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        }

        fn open(&self, path: &Path) -> Result<Remembered, ResumeError> {
            Remembered::open(&self.directory.path().join("state"), path, destination("f"))
        }

        /// Begins an upload that does not end.
        fn interrupted(&self, path: &Path, session_id: &str) {
            self.open(path).unwrap().set_session(session_id).unwrap();
        }
    }

    fn touch(path: &Path) {
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(1000)).unwrap();
    }

    #[test]
    fn the_same_file_goes_on_also_after_it_was_touched_or_moved() {
        let files = Files::new();
        let path = files.write("a", &[7; 3_000_000]);
        let first = files.open(&path).unwrap();
        assert_eq!(first.session_id(), None);
        let key = first.idempotency_key().to_owned();
        drop(first);
        assert_eq!(files.open(&path).unwrap().idempotency_key(), key, "a start whose answer was lost is repeated");
        files.interrupted(&path, "s1");
        assert_eq!(files.open(&path).unwrap().session_id(), Some("s1"));
        touch(&path);
        assert_eq!(files.open(&path).unwrap().session_id(), Some("s1"));
        let moved = files.directory.path().join("b");
        fs::rename(&path, &moved).unwrap();
        let recalled = files.open(&moved).unwrap();
        assert_eq!((recalled.session_id(), recalled.outdated_session()), (Some("s1"), None));
        recalled.forget();
        assert_eq!(files.open(&moved).unwrap().session_id(), None);
    }

    #[test]
    fn a_changed_file_starts_anew_and_its_old_session_is_told() {
        let files = Files::new();
        let path = files.write("a", &[7; 3_000_000]);
        files.interrupted(&path, "s1");
        files.write("a", &[8; 3_000_000]);
        touch(&path);
        let changed = files.open(&path).unwrap();
        assert_eq!((changed.session_id(), changed.outdated_session()), (None, Some("s1")));
        drop(changed);
        files.interrupted(&path, "s2");
        files.write("a", &[8; 3_000_001]);
        assert_eq!(files.open(&path).unwrap().outdated_session(), Some("s2"));
    }

    #[test]
    fn a_session_that_was_finished_otherwise_is_forgotten() {
        let files = Files::new();
        let path = files.write("a", b"x");
        files.interrupted(&path, "s1");
        let state = files.directory.path().join("state");
        assert!(Remembered::of_session(&state, "s2").unwrap().is_none());
        assert_eq!(files.open(&path).unwrap().session_id(), Some("s1"));
        Remembered::of_session(&state, "s1").unwrap().unwrap().forget();
        assert_eq!(files.open(&path).unwrap().session_id(), None);
    }

    #[test]
    fn hashes_of_parts_are_those_of_this_session_alone() {
        let files = Files::new();
        let path = files.write("a", &[7; 3_000_000]);
        let noted = |upload: &Remembered| {
            let mut indices: Vec<_> = upload.sent_parts().into_keys().collect();
            indices.sort_unstable();
            indices
        };
        let mut upload = files.open(&path).unwrap();
        upload.set_session("s1").unwrap();
        for index in [0, 5, 7] {
            upload.note_part(index, &part(index as u8)).unwrap();
        }
        drop(upload);
        // A line that a full disk cut spoils itself and what was written behind it, and nothing else.
        let state = files.directory.path().join("state");
        let parts = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().path());
        let parts =
            parts.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "parts")).unwrap();
        let text = fs::read(&parts).unwrap();
        fs::write(&parts, &text[..text.len() - 10]).unwrap();
        let mut upload = files.open(&path).unwrap();
        assert_eq!(noted(&upload), [0, 5]);
        upload.note_part(8, &part(8)).unwrap();
        upload.note_part(9, &part(9)).unwrap();
        assert_eq!(noted(&upload), [0, 5, 9]);
        assert_eq!(upload.sent_parts()[&5], part(5));
        upload.keep_parts(&[5, 9]).unwrap();
        upload.note_part(0, &part(1)).unwrap();
        assert_eq!((noted(&upload), &upload.sent_parts()[&0]), (vec![0, 5, 9], &part(1)));
        drop(upload);
        // They go along when the file is moved, and go when the session does.
        let moved = files.directory.path().join("b");
        fs::rename(&path, &moved).unwrap();
        let mut upload = files.open(&moved).unwrap();
        assert_eq!(noted(&upload), [0, 5, 9]);
        upload.set_session("s2").unwrap();
        assert!(noted(&upload).is_empty());
        upload.note_part(3, &part(3)).unwrap();
        upload.begin_anew().unwrap();
        assert!(noted(&upload).is_empty());
        upload.note_part(3, &part(3)).unwrap();
        drop(upload);
        files.write("b", &[8; 3_000_000]);
        touch(&moved);
        let upload = files.open(&moved).unwrap();
        assert!(noted(&upload).is_empty());
        upload.forget();
        assert!(!fs::read_dir(&state).unwrap().any(|entry| entry.unwrap().path().to_str().unwrap().contains("parts")));
    }

    #[test]
    fn what_is_remembered_is_for_the_user_alone_and_no_link_is_followed() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let files = Files::new();
        let path = files.write("a", b"x");
        let mut upload = files.open(&path).unwrap();
        upload.set_session("s1").unwrap();
        upload.note_part(0, &part(0)).unwrap();
        drop(upload);
        let state = files.directory.path().join("state");
        for entry in fs::read_dir(&state).unwrap().map(Result::unwrap) {
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
        }
        let mine = files.write("mine", b"precious");
        for entry in fs::read_dir(&state).unwrap().map(Result::unwrap) {
            fs::remove_file(entry.path()).unwrap();
            symlink(&mine, entry.path()).unwrap();
        }
        assert!(matches!(files.open(&path), Err(ResumeError::State { .. })));
        assert_eq!(fs::read(&mine).unwrap(), b"precious");
    }

    #[test]
    fn another_destination_is_another_upload() {
        let files = Files::new();
        let path = files.write("a", b"x");
        files.interrupted(&path, "s1");
        let state = files.directory.path().join("state");
        assert_eq!(Remembered::open(&state, &path, destination("g")).unwrap().session_id(), None);
        assert_eq!(files.open(&path).unwrap().session_id(), Some("s1"));
    }

    #[test]
    fn two_at_once_do_not_meet() {
        let files = Files::new();
        let (path, copy) = (files.write("a", b"x"), files.write("b", b"x"));
        let mut first = files.open(&path).unwrap();
        first.set_session("s1").unwrap();
        assert!(matches!(files.open(&path), Err(ResumeError::Busy { pid: Some(pid) }) if pid == std::process::id()));
        let state = files.directory.path().join("state");
        assert!(matches!(Remembered::of_session(&state, "s1"), Err(ResumeError::Busy { pid: Some(_) })));
        // The same content elsewhere is an upload of its own while the first is under way.
        assert_eq!(files.open(&copy).unwrap().session_id(), None);
        drop(first);
        assert_eq!(files.open(&path).unwrap().session_id(), Some("s1"));
    }

    #[test]
    fn what_cannot_be_read_or_is_old_is_forgotten() {
        let files = Files::new();
        let path = files.write("a", b"x");
        files.interrupted(&path, "s1");
        let state = files.directory.path().join("state");
        let json = |state: &Path| {
            let mut names = fs::read_dir(state).unwrap().map(|entry| entry.unwrap().path());
            names.find(|path| path.extension().is_some_and(|extension| extension == "json"))
        };
        let memory = json(&state).unwrap();
        fs::write(&memory, "{").unwrap();
        assert_eq!(files.open(&path).unwrap().session_id(), None);
        files.interrupted(&path, "s2");
        let old = File::options().write(true).open(&memory).unwrap();
        old.set_modified(SystemTime::now() - FORGET_AFTER - Duration::from_secs(10)).unwrap();
        let other = files.write("other", b"other");
        files.open(&other).unwrap().forget();
        assert_eq!(json(&state), None);
    }

    #[test]
    fn samples_lie_within_the_file_and_have_both_ends() {
        for size in [1, SAMPLE_BYTES, SAMPLE_BYTES + 1, SAMPLES * SAMPLE_BYTES, SAMPLES * SAMPLE_BYTES + 1, 1 << 40] {
            let samples = samples(size);
            assert_eq!((samples[0].start, samples[samples.len() - 1].end), (0, size));
            assert!(samples.iter().all(|sample| sample.start < sample.end && sample.end <= size));
            assert!(samples.iter().all(|sample| sample.end - sample.start <= SAMPLE_BYTES));
        }
    }
}
