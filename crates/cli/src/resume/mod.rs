//! The client's memory of unfinished uploads, with which the same command resumes them.
//!
//! Each upload has a small JSON file in the user's state directory, named by the hash of server, key, path and destination. It is
//! written before the first request, with the idempotency key of start, so a process that follows finds the same session whenever
//! the one before it ends. A lock file next to it keeps two processes from sending one file at a time. Where the server compares
//! no hash of the whole file, a third file has one line for each part that arrived: its hash and the ETag of the answer.
//!
//! Invariant: the hash of a part is recorded only after the part has arrived, and is removed before the part is sent again. A
//! part whose recorded hash matches the file is therefore the file's.

mod fingerprint;
mod memory;
mod slot;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use partway_client::SentPart;
use uuid::Uuid;

use fingerprint::{fingerprint, modified_ns};
pub(crate) use memory::Destination;
use memory::Memory;
use slot::{Slot, slot_names, take_over};

/// A remembered upload that is in progress. Its slot is locked.
#[derive(Debug)]
pub(crate) struct Remembered {
    memory: Memory,
    slot: Slot,
    /// Whether an earlier run recorded it.
    is_recalled: bool,
    /// The session of an earlier version of the file, which is of no use any more.
    outdated_session: Option<String>,
}

/// Why an upload cannot be remembered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResumeError {
    /// Another process sends the same file to the same destination.
    #[error("another partway upload is sending this file, or continues this session{}", pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Busy {
        /// The process, if it wrote its id.
        pid: Option<u32>,
    },
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Source {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The state directory cannot be used.
    #[error("{path}: {source}")]
    State {
        /// The path in it.
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

/// A file to upload, as it is now.
struct OpenedFile {
    file: File,
    path: PathBuf,
    size_bytes: u64,
    modified_ns: i128,
}

impl OpenedFile {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = File::open(&path)?;
        let metadata = file.metadata()?;
        Ok(Self { file, path, size_bytes: metadata.len(), modified_ns: modified_ns(&metadata) })
    }

    /// Whether the record is of the file with the same size and time of modification.
    fn is_unchanged_since(&self, memory: &Memory) -> bool {
        (memory.size_bytes, memory.modified_ns) == (self.size_bytes, self.modified_ns)
    }
}

/// The records found for a file whose own record is missing, or of another time of modification.
struct Earlier {
    /// The record of the same content.
    same: Option<Memory>,
    /// The slot of that record, if it is not the file's own.
    other_slot: Option<Slot>,
    /// The file's own record, if it is of another version of the file.
    outdated: Option<Memory>,
}

impl Earlier {
    fn find(directory: &Path, slot: &Slot, destination: &Destination, size_bytes: u64, fingerprint: &str) -> Self {
        let same = |memory: &Memory| memory.size_bytes == size_bytes && memory.fingerprint == fingerprint;
        match slot.read() {
            Some(memory) if same(&memory) => Self { same: Some(memory), other_slot: None, outdated: None },
            outdated => {
                let fits = |memory: &Memory| memory.destination == *destination && same(memory);
                let (same, other_slot) = take_over(directory, &slot.name, &fits).unzip();
                Self { same, other_slot, outdated }
            }
        }
    }
}

impl Remembered {
    /// Recalls the upload of `file` to `destination`: one of the same path, size and modification time, or one of the same
    /// content. Otherwise records a new one.
    pub(crate) fn open(directory: &Path, file: &Path, destination: Destination) -> Result<Self, ResumeError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|source| ResumeError::State { path: directory.to_owned(), source })?;
        let unreadable = |source| ResumeError::Source { path: file.to_owned(), source };
        let path = file.canonicalize().map_err(unreadable)?;
        let slot = Slot::lock(directory, &destination.slot_name(&path))?;
        let source = OpenedFile::open(path).map_err(unreadable)?;
        if let Some(memory) = slot.read().filter(|memory| source.is_unchanged_since(memory)) {
            return Ok(Self { memory, slot, is_recalled: true, outdated_session: None });
        }
        let fingerprint = fingerprint(&source.file, source.size_bytes).map_err(unreadable)?;
        let earlier = Earlier::find(directory, &slot, &destination, source.size_bytes, &fingerprint);
        Self::record(slot, destination, source, fingerprint, earlier)
    }

    /// Writes the record: of the earlier upload of the same content, or of a new one.
    fn record(
        mut slot: Slot,
        destination: Destination,
        source: OpenedFile,
        fingerprint: String,
        earlier: Earlier,
    ) -> Result<Self, ResumeError> {
        let Earlier { same, other_slot, outdated } = earlier;
        let OpenedFile { path, size_bytes, modified_ns, .. } = source;
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
        // Parts are written before the record that they belong to, so a record never has the parts of another session.
        match &other_slot {
            Some(other) => slot.write_parts(&other.read_parts())?,
            None if !is_recalled => slot.write_parts(&HashMap::new())?,
            None => {}
        }
        slot.write(&memory)?;
        if let Some(other) = other_slot {
            other.forget();
        }
        let outdated_session = outdated.and_then(|memory| memory.session_id);
        Ok(Self { memory, slot, is_recalled, outdated_session })
    }

    /// The record of the upload with this session, if there is one.
    pub(crate) fn of_session(directory: &Path, session_id: &str) -> Result<Option<Self>, ResumeError> {
        let is_its = |memory: &Memory| memory.session_id.as_deref() == Some(session_id);
        for name in slot_names(directory) {
            if !Slot::read_at(directory, &name).as_ref().is_some_and(is_its) {
                continue;
            }
            let slot = Slot::lock(directory, &name)?;
            // The last holder may have finished the upload, or moved the record.
            if let Some(memory) = slot.read().filter(is_its) {
                return Ok(Some(Self { memory, slot, is_recalled: false, outdated_session: None }));
            }
        }
        Ok(None)
    }

    /// The session to resume.
    pub(crate) fn session_id(&self) -> Option<&str> {
        self.memory.session_id.as_deref()
    }

    /// A session of an earlier version of the file.
    pub(crate) fn outdated_session(&self) -> Option<&str> {
        self.outdated_session.as_deref()
    }

    /// The idempotency key of start.
    pub(crate) fn idempotency_key(&self) -> &str {
        &self.memory.idempotency_key
    }

    /// Whether an earlier run recorded the upload.
    pub(crate) fn is_recalled(&self) -> bool {
        self.is_recalled
    }

    /// The recorded parts.
    pub(crate) fn sent_parts(&self) -> HashMap<u32, SentPart> {
        self.slot.read_parts()
    }

    /// Records a part that has arrived.
    pub(crate) fn record_part(&mut self, index: u32, part: &SentPart) -> Result<(), ResumeError> {
        self.slot.add_part(index, part)
    }

    /// Removes the records of all parts but these, in ascending order: the others will be sent again.
    pub(crate) fn keep_parts(&mut self, indices: &[u32]) -> Result<(), ResumeError> {
        let mut parts = self.slot.read_parts();
        let all = parts.len();
        parts.retain(|index, _| indices.binary_search(index).is_ok());
        if parts.len() == all { Ok(()) } else { self.slot.write_parts(&parts) }
    }

    /// Records the session that the server has started.
    pub(crate) fn set_session(&mut self, session_id: &str) -> Result<(), ResumeError> {
        if self.session_id() == Some(session_id) {
            return Ok(());
        }
        self.slot.write_parts(&HashMap::new())?;
        self.memory.session_id = Some(session_id.to_owned());
        self.slot.write(&self.memory)
    }

    /// Starts again with a new session, because the recorded one is of no use.
    pub(crate) fn restart(&mut self) -> Result<(), ResumeError> {
        self.is_recalled = false;
        self.slot.write_parts(&HashMap::new())?;
        self.memory.session_id = None;
        self.memory.idempotency_key = Uuid::new_v4().to_string();
        self.slot.write(&self.memory)
    }

    /// Deletes the record of a finished upload.
    pub(crate) fn forget(self) {
        self.slot.forget();
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use serde_json::Map;

    use super::slot::FORGET_AFTER;
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
    fn a_changed_file_starts_again_and_its_old_session_is_named() {
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
            upload.record_part(index, &part(index as u8)).unwrap();
        }
        drop(upload);
        // A line that a full disk cut spoils itself and the line after it, and nothing else.
        let state = files.directory.path().join("state");
        let parts = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().path());
        let parts =
            parts.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "parts")).unwrap();
        let text = fs::read(&parts).unwrap();
        fs::write(&parts, &text[..text.len() - 10]).unwrap();
        let mut upload = files.open(&path).unwrap();
        assert_eq!(noted(&upload), [0, 5]);
        upload.record_part(8, &part(8)).unwrap();
        upload.record_part(9, &part(9)).unwrap();
        assert_eq!(noted(&upload), [0, 5, 9]);
        assert_eq!(upload.sent_parts()[&5], part(5));
        upload.keep_parts(&[5, 9]).unwrap();
        upload.record_part(0, &part(1)).unwrap();
        assert_eq!((noted(&upload), &upload.sent_parts()[&0]), (vec![0, 5, 9], &part(1)));
        drop(upload);
        // They go along when the file is moved, and go when the session does.
        let moved = files.directory.path().join("b");
        fs::rename(&path, &moved).unwrap();
        let mut upload = files.open(&moved).unwrap();
        assert_eq!(noted(&upload), [0, 5, 9]);
        upload.set_session("s2").unwrap();
        assert!(noted(&upload).is_empty());
        upload.record_part(3, &part(3)).unwrap();
        upload.restart().unwrap();
        assert!(noted(&upload).is_empty());
        upload.record_part(3, &part(3)).unwrap();
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
        upload.record_part(0, &part(0)).unwrap();
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
}
