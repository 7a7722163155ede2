//! Hashes that clients name, compared with what arrived. A hash that cannot be compared is refused, since its client relies on the
//! comparison.

use super::UploadError;
use crate::db::DbError;
use crate::db::files::File;
use crate::db::sessions::{Session, Status};
use crate::input::{EtagsHash, FileHash, HashKind};

/// The hashes that a client expects of its file when it completes the session.
#[derive(Debug, Clone, Default)]
pub struct ExpectedHashes {
    /// Hash of the whole file.
    pub file: Option<FileHash>,
    /// SHA-256 over the ETags of its parts, in order.
    pub etags: Option<EtagsHash>,
}

impl ExpectedHashes {
    /// The hash of the whole file as text.
    pub fn file_text(&self) -> Option<&str> {
        self.file.as_ref().map(FileHash::as_str)
    }
}

/// Checks the kind of a hash.
///
/// # Errors
/// [`UploadError::HashKind`] when the hash is not of the kind `known`, the one that is compared in this storage.
pub(in crate::service::upload) fn check_hash_kind(hash: Option<&FileHash>, known: HashKind) -> Result<(), UploadError> {
    match hash.filter(|hash| hash.kind() != known) {
        Some(hash) => Err(UploadError::HashKind { declared: hash.as_str().to_owned(), known }),
        None => Ok(()),
    }
}

/// Checks that ETags can be compared.
///
/// # Errors
/// [`UploadError::EtagsNotCompared`] where this server hashes the whole file itself: such parts have no ETags of a store.
pub(in crate::service::upload) fn check_etags_are_compared(
    etags: Option<&EtagsHash>,
    known: HashKind,
) -> Result<(), UploadError> {
    match etags {
        Some(_) if known == HashKind::Blake3 => Err(UploadError::EtagsNotCompared),
        _ => Ok(()),
    }
}

/// Compares the ETags that a client names with those that were noted when the store made the session's object. Without a note the
/// comparison fails. A hash of the whole file makes this one unnecessary.
///
/// # Errors
/// [`UploadError::OtherParts`] when they differ.
pub(in crate::service::upload) fn check_noted_etags(
    session: &Session,
    expected: &ExpectedHashes,
) -> Result<(), UploadError> {
    match &expected.etags {
        Some(etags) if expected.file.is_none() && matches!(session.status, Status::Uploading | Status::Completed) => {
            let is_noted = session.complete_hash.as_deref() == Some(etags.note().as_str());
            if is_noted { Ok(()) } else { Err(UploadError::OtherParts(session.id)) }
        }
        _ => Ok(()),
    }
}

/// Compares the hash of the whole file that a client names with the one of the bytes that arrived.
///
/// # Errors
/// [`UploadError::HashMismatch`] when they differ, [`UploadError::HashNotKept`] when there is none of the bytes.
pub(in crate::service::upload) fn check_hash(
    declared: Option<&str>,
    received: Option<&str>,
) -> Result<(), UploadError> {
    match (declared, received) {
        (Some(declared), Some(received)) if declared != received => {
            Err(UploadError::HashMismatch { declared: declared.to_owned(), received: received.to_owned() })
        }
        (Some(declared), None) => Err(UploadError::HashNotKept { declared: declared.to_owned() }),
        _ => Ok(()),
    }
}

/// The file with which an ended session was completed, for a client that completes it again.
///
/// # Errors
/// When it ended without a file, or with one of another hash.
pub(in crate::service::upload) fn completed_file(
    session: Session,
    hash: Option<&FileHash>,
) -> Result<File, UploadError> {
    match (session.status, session.completed_file) {
        (Status::Completed, Some(file)) => {
            check_hash_kind(hash, HashKind::of(session.storage))?;
            check_hash(hash.map(FileHash::as_str), file.hash.as_deref())?;
            Ok(file)
        }
        (Status::Completed, None) => {
            Err(DbError::Corrupt { table: "sessions", problem: format!("{} is completed without a file", session.id) }
                .into())
        }
        (ended, _) => Err(UploadError::ended(session.id, ended)),
    }
}
