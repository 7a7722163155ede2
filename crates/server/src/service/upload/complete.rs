//! Completing a session, and which hashes are compared when it is.

use std::sync::Arc;

use super::session::{
    ExpectedHashes, check_etags_are_compared, check_hash_kind, check_noted_etags, check_uuid, completed_file,
};
use super::tasks::to_its_end;
use super::{UploadError, Uploads};
use crate::db::files::File;
use crate::db::sessions::Status;
use crate::error_chain::error_chain;
use crate::input::{FileHash, HashKind};
use crate::model::StorageKind;
use crate::service::key::Identity;

impl Uploads {
    /// Completes a session, or answers the file with which it was completed. When this returns, the bytes and the record survive
    /// a power cut. Once begun it runs to its end, even when the request is cancelled.
    ///
    /// # Errors
    /// [`UploadError::PartsMissing`] when parts are missing, [`UploadError::HashMismatch`] when they are not those of the file that
    /// `expected` or the session's start names, and [`UploadError::OtherParts`] when they are not those whose ETags `expected` names.
    pub async fn complete(
        &self,
        identity: &Identity,
        session_id: &str,
        uuid: Option<&str>,
        expected: ExpectedHashes,
    ) -> Result<File, UploadError> {
        let session = self.find(identity, session_id).await?;
        check_uuid(&session, uuid)?;
        let kind = HashKind::of(session.storage);
        if session.status != Status::Uploading {
            check_etags_are_compared(expected.etags.as_ref(), kind)?;
            check_noted_etags(&session, &expected)?;
            return completed_file(session, expected.file.as_ref());
        }
        check_hash_kind(expected.file.as_ref(), kind)?;
        check_etags_are_compared(expected.etags.as_ref(), kind)?;
        self.check_hash_is_kept(expected.file.as_ref(), session.storage).await?;
        let backend = Arc::clone(self.backends.of(session.storage)?);
        to_its_end(async move { backend.complete(session, expected).await }).await
    }

    /// The kind of hash that is compared with files in this storage; `None` where the store keeps no hash, or it is not known
    /// whether it does.
    pub async fn hash_kind(&self, storage: StorageKind) -> Option<HashKind> {
        let kind = HashKind::of(storage);
        // This server computes it itself.
        if kind == HashKind::Blake3 {
            return Some(kind);
        }
        let is_kept = self.backends.of(storage).ok()?.keeps_hashes().await.unwrap_or_else(|error| {
            tracing::warn!(error = %error_chain(&error), "whether the store keeps checksums is not known");
            false
        });
        is_kept.then_some(kind)
    }

    /// Checks that a hash can be compared.
    ///
    /// # Errors
    /// [`UploadError::HashNotKept`] when the storage will have nothing to compare the hash with.
    pub(super) async fn check_hash_is_kept(
        &self,
        hash: Option<&FileHash>,
        storage: StorageKind,
    ) -> Result<(), UploadError> {
        match hash {
            Some(hash) if !self.backends.of(storage)?.keeps_hashes().await? => {
                Err(UploadError::HashNotKept { declared: hash.as_str().to_owned() })
            }
            _ => Ok(()),
        }
    }
}
