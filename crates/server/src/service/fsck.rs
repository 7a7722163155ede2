//! Compares what the database says with what is on the disk, in both directions, beside a running server or without.
//!
//! Invariant: checking changes nothing. Repairing does only what cannot lose a byte that anybody may want: a blob that
//! nobody owns is handed to the cleaner, a session is marked so that its parts are verified before they are trusted,
//! counters are counted anew. A file whose bytes are gone or wrong is only told of.
//!
//! A server at work changes both sides meanwhile. A row is always there before its blob and goes after it, so what
//! looks wrong is looked at a second time, and counts only if it is still wrong.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use futures_util::StreamExt;
use uuid::Uuid;

use super::upload::plan_of;
use crate::db::blobs::{self, OwnedBlob, Owner};
use crate::db::sessions::{self, Status};
use crate::db::usage::{self, Usage};
use crate::db::{Db, DbError, Durability, files, garbage, parts, workspaces};
use crate::model::{BlobRef, StorageKind};
use crate::storage::{Scanned, StorageError, Stores, blob_hash, part_is_intact, stream_hash};

/// A check of one data directory.
pub struct Fsck {
    /// The records.
    pub db: Db,
    /// The bytes.
    pub stores: Stores,
    /// Whether all bytes are read and compared with their hashes.
    pub deep: bool,
    /// Whether what can be repaired safely is.
    pub repair: bool,
    /// Whether no server runs: sessions can be repaired only then, because a server knows them by heart.
    pub alone: bool,
}

/// What a check came across.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Files looked at.
    pub files: u64,
    /// Open sessions looked at.
    pub sessions: u64,
    /// Blobs that the cleaner will delete.
    pub garbage: u64,
    /// Blobs found on the disk.
    pub blobs: u64,
    /// Bytes read and compared with their hashes.
    pub bytes_verified: u64,
    /// In a deep check: files whose bytes were all read and compared.
    pub files_verified: u64,
    /// In a deep check: files without a hash that could be compared. Only their last byte was read.
    pub files_without_hash: Vec<String>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// What.
    pub problem: Problem,
    /// Which blob, file, session, workspace or path.
    pub subject: String,
    /// More about it.
    pub detail: String,
    /// What was done about it.
    pub outcome: Outcome,
}

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// A blob that nobody owns.
    Orphan,
    /// Something among the blobs that is none. Never touched.
    Foreign,
    /// Something that cannot be looked at.
    Unreadable,
    /// A file whose blob is not there.
    FileMissing,
    /// A file whose blob has another size.
    FileSize,
    /// A file whose bytes have another hash, or cannot be read.
    FileHash,
    /// A session whose blob is not there or too short although parts are recorded.
    SessionBlob,
    /// A part whose bytes are not those that were received, or cannot be read.
    Part,
    /// A workspace whose counters are not what it holds.
    Counters,
    /// The database file itself.
    Database,
}

/// What was done about a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is right again, or will be by itself.
    Repaired,
    /// `--repair` would mend it.
    Repairable,
    /// `--repair` would mend it while no server runs.
    RepairableWithoutServer,
    /// Nothing can be done safely.
    Left,
}

/// Why a check could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum FsckError {
    /// The database failed.
    #[error("the database cannot be read")]
    Db(#[from] DbError),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Called with the bytes that were read since the last call.
pub type OnRead<'f> = &'f (dyn Fn(u64) + Send + Sync);

impl Fsck {
    /// Checks everything, and repairs what it may.
    ///
    /// # Errors
    /// When the database or the directories cannot be read at all; a single blob that cannot be is a finding.
    pub async fn run(&self, on_read: OnRead<'_>) -> Result<Report, FsckError> {
        let mut report = Report::default();
        self.check_database(&mut report).await?;
        // The bytes first: whatever is there had its row before.
        let found = self.scan(&mut report).await?;
        let owned = self.db.read(blobs::list).await?;
        report.blobs = found.len() as u64;
        let known: HashSet<BlobRef> = owned.iter().map(|blob| blob.blob).collect();
        for blob in found.difference(&known) {
            self.check_orphan(*blob, &mut report).await?;
        }
        for blob in owned {
            match blob.owner {
                Owner::Garbage => report.garbage += 1,
                Owner::File(id) => {
                    report.files += 1;
                    self.check_file(id, &blob, &mut report, on_read).await?;
                }
                Owner::Session(id) => {
                    report.sessions += 1;
                    self.check_session(id, &blob, &mut report, on_read).await?;
                }
            }
        }
        for usage in self.db.read(usage::list).await? {
            self.check_counters(usage, &mut report).await?;
        }
        Ok(report)
    }

    async fn check_database(&self, report: &mut Report) -> Result<(), FsckError> {
        let deep = self.deep;
        for problem in self.db.read(move |tx| tx.integrity_problems(deep)).await? {
            report.add(Problem::Database, "partway.db", problem, Outcome::Left);
        }
        Ok(())
    }

    async fn scan(&self, report: &mut Report) -> Result<HashSet<BlobRef>, FsckError> {
        let mut found = HashSet::new();
        for store in self.stores.all() {
            for entry in store.list_blobs().await? {
                match entry {
                    Scanned::Blob(id) => {
                        found.insert(BlobRef { storage: store.kind(), id });
                    }
                    Scanned::Foreign(path) => {
                        let detail = "not made by Partway; it is left alone".to_owned();
                        report.add(Problem::Foreign, path, detail, Outcome::Left);
                    }
                    Scanned::Unreadable(path, error) => {
                        report.add(Problem::Unreadable, path, error, Outcome::Left);
                    }
                }
            }
        }
        if let Ok(bucket) = self.stores.s3() {
            for upload in bucket.list_uploads(None).await? {
                let blob_id = upload.blob_id;
                let is_known = self.db.read(move |tx| {
                    Ok(sessions::find_by_blob(tx, blob_id)?.is_some() || blobs::has_owner(tx, blob_id)?)
                });
                if !is_known.await? {
                    let detail = "an unfinished upload that no record knows; it is left alone".to_owned();
                    report.add(Problem::Foreign, format!("upload of {blob_id} in the bucket"), detail, Outcome::Left);
                }
            }
        }
        Ok(found)
    }

    /// Size of a blob, if it is there. One that cannot be looked at is a finding, and `None`.
    async fn size_of(&self, blob: BlobRef, report: &mut Report) -> Result<Option<Option<u64>>, FsckError> {
        match self.stores.get(blob.storage)?.find_blob(blob.id).await {
            Ok(found) => Ok(Some(found.map(|found| found.size_bytes))),
            Err(error) => {
                let detail = crate::error_chain::error_chain(&error);
                report.add(Problem::Unreadable, format!("blob {}", blob.id), detail, Outcome::Left);
                Ok(None)
            }
        }
    }

    async fn check_orphan(&self, blob: BlobRef, report: &mut Report) -> Result<(), FsckError> {
        let blob_id = blob.id;
        if self.db.read(move |tx| blobs::has_owner(tx, blob_id)).await? {
            return Ok(());
        }
        let Some(Some(size_bytes)) = self.size_of(blob, report).await? else { return Ok(()) };
        let mut outcome = Outcome::Repairable;
        if self.repair {
            let handed_over = self.db.write_to_free(Durability::PowerLoss, move |tx| {
                if !blobs::has_owner(tx, blob_id)? {
                    let orphan = garbage::NewGarbage {
                        blob,
                        workspace_id: None,
                        reason: garbage::Reason::Orphan,
                        size_bytes,
                        keep_seconds: 0,
                    };
                    garbage::insert(tx, &orphan)?;
                }
                Ok(())
            });
            handed_over.await?;
            outcome = Outcome::Repaired;
        }
        let detail = format!("{size_bytes} bytes that nobody owns");
        report.add(Problem::Orphan, format!("blob {blob_id}"), detail, outcome);
        Ok(())
    }

    async fn check_file(
        &self,
        id: Uuid,
        blob: &OwnedBlob,
        report: &mut Report,
        on_read: OnRead<'_>,
    ) -> Result<(), FsckError> {
        let Some(size) = self.size_of(blob.blob, report).await? else { return Ok(()) };
        let (problem, detail) = match size {
            None => (Problem::FileMissing, "its blob is not there".to_owned()),
            Some(size) if size != blob.size_bytes => {
                (Problem::FileSize, format!("its blob has {size} bytes, it should have {}", blob.size_bytes))
            }
            Some(_) if self.deep => {
                let Some(problem) = self.verify_file(id, blob, report, on_read).await? else { return Ok(()) };
                (Problem::FileHash, problem)
            }
            Some(_) => return Ok(()),
        };
        // Replaced or deleted meanwhile, perhaps.
        let Some(file) = self.db.read(move |tx| files::find_stored(tx, id)).await? else { return Ok(()) };
        if file.blob_id != blob.blob.id {
            // Moved to another storage.
            return Ok(());
        }
        report.add(problem, format!("file {}/{}", file.workspace_no, file.path), detail, Outcome::Left);
        Ok(())
    }

    /// What is wrong with the file's bytes.
    async fn verify_file(
        &self,
        id: Uuid,
        blob: &OwnedBlob,
        report: &mut Report,
        on_read: OnRead<'_>,
    ) -> Result<Option<String>, FsckError> {
        let Some(file) = self.db.read(move |tx| files::find_stored(tx, id)).await? else { return Ok(None) };
        let (blob, size_bytes) = (blob.blob, blob.size_bytes);
        let Some(hash) = file.hash.filter(|hash| hash.starts_with("blake3:")) else {
            report.files_without_hash.push(format!("{}/{}", file.workspace_no, file.path));
            return self.read_last_byte(blob, size_bytes).await;
        };
        report.files_verified += 1;
        let read = match blob.storage {
            StorageKind::Local => {
                let store = Arc::clone(self.stores.local()?);
                blocking(move || blob_hash(&store.open_for_reading(blob.id)?, size_bytes)).await?
            }
            StorageKind::S3 => stream_hash(self.stores.get(blob.storage)?.as_ref(), blob.id, size_bytes).await,
        };
        on_read(size_bytes);
        report.bytes_verified += size_bytes;
        Ok(match read {
            Ok(read) if format!("blake3:{read}") == hash => None,
            Ok(read) => Some(format!("its bytes have blake3:{read}, they should have {hash}")),
            Err(error) => Some(crate::error_chain::error_chain(&error)),
        })
    }

    /// The fault at the end of a blob. Some stores say the full size of an object of which they have lost a part.
    async fn read_last_byte(&self, blob: BlobRef, size_bytes: u64) -> Result<Option<String>, FsckError> {
        if size_bytes == 0 {
            return Ok(None);
        }
        let read = async {
            let mut stream = self.stores.get(blob.storage)?.read_blob(blob.id, size_bytes - 1..size_bytes).await?;
            let mut read_bytes = 0;
            while let Some(bytes) = stream.next().await {
                read_bytes += bytes?.len();
            }
            Ok::<_, StorageError>(read_bytes)
        };
        Ok(match read.await {
            Ok(1) => None,
            Ok(_) => Some("its last byte is not there".to_owned()),
            Err(error) => Some(format!("its last byte cannot be read: {}", crate::error_chain::error_chain(&error))),
        })
    }

    async fn check_session(
        &self,
        id: Uuid,
        blob: &OwnedBlob,
        report: &mut Report,
        on_read: OnRead<'_>,
    ) -> Result<(), FsckError> {
        let found = self.db.read(move |tx| Ok((sessions::find(tx, id)?, parts::list(tx, id)?))).await?;
        let (Some(session), recorded) = found else { return Ok(()) };
        // A session that is being started may not have its blob yet; without parts, nothing is lost. One without trust
        // was repaired: its parts are verified before anybody uses them.
        // The store alone knows the parts of its sessions.
        let is_elsewhere = session.storage == StorageKind::S3;
        if session.status != Status::Uploading
            || recorded.is_empty()
            || session.trusted_boot_id.is_empty()
            || is_elsewhere
        {
            return Ok(());
        }
        let Some(size) = self.size_of(blob.blob, report).await? else { return Ok(()) };
        let mut problems = Vec::new();
        if size.is_none_or(|size| size < blob.size_bytes) {
            let was = size.map_or_else(|| "is not there".to_owned(), |size| format!("has {size} bytes"));
            let detail = format!("its blob {was}, it should have {} bytes", blob.size_bytes);
            problems.push((Problem::SessionBlob, format!("session {id}"), detail));
        } else if self.deep {
            let Ok(plan) = plan_of(&session) else { return Ok(()) };
            for (index, subtrees) in recorded {
                let Some(range) = plan.range(index) else { continue };
                on_read(range.end - range.start);
                report.bytes_verified += range.end - range.start;
                if !self.is_part_intact(id, index, &range, subtrees, blob).await? {
                    let detail = "its bytes are not those that were received".to_owned();
                    problems.push((Problem::Part, format!("part {index} of session {id}"), detail));
                }
            }
        }
        if problems.is_empty() || !self.is_uploading(id).await? {
            return Ok(());
        }
        let outcome = match (self.alone, self.repair) {
            (true, true) => {
                // The next server reads all its parts before it trusts them.
                self.db.write_to_free(Durability::PowerLoss, move |tx| sessions::set_trusted_boot(tx, id, "")).await?;
                Outcome::Repaired
            }
            (true, false) => Outcome::Repairable,
            (false, _) => Outcome::RepairableWithoutServer,
        };
        for (problem, subject, detail) in problems {
            report.add(problem, subject, detail, outcome);
        }
        Ok(())
    }

    async fn is_uploading(&self, id: Uuid) -> Result<bool, FsckError> {
        let found = self.db.read(move |tx| sessions::find(tx, id)).await?;
        Ok(found.is_some_and(|session| session.status == Status::Uploading))
    }

    /// Whether the part is what its record says; one that is being sent again meanwhile is looked at again.
    async fn is_part_intact(
        &self,
        id: Uuid,
        index: u32,
        part: &Range<u64>,
        mut subtrees: Vec<u8>,
        blob: &OwnedBlob,
    ) -> Result<bool, FsckError> {
        loop {
            let (store, part, values) = (Arc::clone(self.stores.local()?), part.clone(), subtrees.clone());
            let (blob_id, size_bytes) = (blob.blob.id, blob.size_bytes);
            let intact =
                blocking(move || part_is_intact(&store.open_for_reading(blob_id)?, &part, size_bytes, &values)).await?;
            if intact.unwrap_or(false) {
                return Ok(true);
            }
            let recorded = self.db.read(move |tx| parts::find(tx, id, index)).await?;
            match recorded {
                Some(now) if now == subtrees => return Ok(false),
                Some(now) => subtrees = now,
                // Being sent again.
                None => return Ok(true),
            }
        }
    }

    async fn check_counters(&self, usage: Usage, report: &mut Report) -> Result<(), FsckError> {
        let id = usage.workspace_id;
        let looked = self.db.read(move |tx| {
            let (folders, keys) = (usage::miscounted_folders(tx, id)?, usage::miscounted_keys(tx, id)?);
            Ok((usage::add_up(tx, id)?, folders, keys, usage::counts_its_folders(tx, id)?))
        });
        if looked.await? == ((usage.files, usage.sessions), 0, 0, true) {
            return Ok(());
        }
        // Once more, with nothing in between.
        let repair = self.repair;
        let compared = self.db.write_to_free(Durability::PowerLoss, move |tx| {
            workspaces::lock(tx, id)?;
            let counted = usage::find(tx, id)?.map(|usage| (usage.files, usage.sessions));
            let (real, folders) = (usage::add_up(tx, id)?, usage::miscounted_folders(tx, id)?);
            let keys = usage::miscounted_keys(tx, id)?;
            let counts_folders = usage::counts_its_folders(tx, id)?;
            let differ = counted.filter(|counted| *counted != real || folders + keys > 0 || !counts_folders);
            if repair && differ.is_some() {
                usage::recount(tx, id)?;
            }
            Ok(differ.map(|counted| (counted, real, folders, keys, counts_folders)))
        });
        if let Some(((files, sessions), (real_files, real_sessions), folders, keys, counts_folders)) = compared.await? {
            let number = if counts_folders { "" } else { "; and the number of folders is another one" };
            let detail = format!(
                "counted {} files of {} bytes and {} sessions of {}; there are {} of {} and {} of {}; {folders} folders and {keys} keys are miscounted{number}",
                files.count,
                files.bytes,
                sessions.count,
                sessions.bytes,
                real_files.count,
                real_files.bytes,
                real_sessions.count,
                real_sessions.bytes
            );
            let outcome = if repair { Outcome::Repaired } else { Outcome::Repairable };
            report.add(Problem::Counters, format!("workspace {}", usage.workspace_no), detail, outcome);
        }
        Ok(())
    }
}

impl Report {
    fn add(&mut self, problem: Problem, subject: impl std::fmt::Display, detail: String, outcome: Outcome) {
        self.findings.push(Finding { problem, subject: subject.to_string(), detail, outcome });
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, StorageError> {
    tokio::task::spawn_blocking(work).await.map_err(StorageError::from)
}
