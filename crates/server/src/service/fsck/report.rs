//! The result of a check, as `partway fsck --json` prints it.

use crate::db::DbError;
use crate::storage::StorageError;

/// The result of a check.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Files checked.
    pub files: u64,
    /// Open sessions checked.
    pub sessions: u64,
    /// Blobs that the cleaner will delete.
    pub garbage: u64,
    /// Blobs found in the storages.
    pub blobs: u64,
    /// Bytes read and compared with their hashes.
    pub bytes_verified: u64,
    /// Files whose bytes were all read and compared. Only a deep check does that.
    pub files_verified: u64,
    /// Files without a hash to compare with, of which a deep check read the last byte alone.
    pub files_without_hash: Vec<String>,
    /// The problems.
    pub findings: Vec<Finding>,
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// Its kind.
    pub problem: Problem,
    /// The blob, file, session, workspace or path that has it.
    pub subject: String,
    /// Details.
    pub detail: String,
    /// Whether it was repaired, or can be.
    pub outcome: Outcome,
}

/// Kinds of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// A blob without an owner.
    Orphan,
    /// Something among the blobs that Partway did not make. Never touched.
    Foreign,
    /// Something that cannot be examined.
    Unreadable,
    /// A file whose blob is missing.
    FileMissing,
    /// A file whose blob has another size.
    FileSize,
    /// A file whose bytes have another hash, or cannot be read.
    FileHash,
    /// A session with recorded parts whose blob is missing or too short.
    SessionBlob,
    /// A part whose bytes differ from those received, or cannot be read.
    Part,
    /// A workspace whose counters differ from its contents.
    Counters,
    /// A fault of the database file.
    Database,
}

/// The repair of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is repaired, or a running server finishes the repair.
    Repaired,
    /// `--repair` would repair it.
    Repairable,
    /// `--repair` would repair it while no server runs.
    RepairableWithoutServer,
    /// No repair is safe.
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

impl Report {
    pub(super) fn add(
        &mut self,
        problem: Problem,
        subject: impl std::fmt::Display,
        detail: impl Into<String>,
        outcome: Outcome,
    ) {
        self.findings.push(Finding { problem, subject: subject.to_string(), detail: detail.into(), outcome });
    }
}
