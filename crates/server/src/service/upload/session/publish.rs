//! The transaction that completes a session: its file becomes visible, exactly once.

use super::UploadError;
use super::quota::{QuotaHeadroom, quota_headroom};
use super::records::{PartRecords, Records};
use crate::db::files::File;
use crate::db::sessions::{self, Session, Status};
use crate::db::usage::{self, Counting};
use crate::db::{DbError, Durability, Tx, api_keys, workspaces};
use crate::model::PublicLimits;
use crate::service::publish::{FileDraft, publish_file};
use crate::service::replacement::{Place, replaced_bytes};

/// Why a session is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::service::upload) enum Occasion {
    /// Its client completes it.
    Complete,
    /// It expires, and completing it was cut off before any client learned of the file.
    Expiry,
}

/// The outcome of publishing.
pub(in crate::service::upload) enum Published {
    /// The file is visible from now on.
    Now(Box<File>),
    /// The session had ended before, here or on another node.
    Ended(Box<Session>),
    /// Another node restarted the session with another blob.
    Changed,
    /// The session expires, and a file was put or changed at its path after the upload began.
    Outdated,
}

/// The workspace's quota where the session's file would exceed it. A session of a private key reserved its bytes when it was
/// started, less those of the file that it was to replace: if that file was renamed or has shrunk meanwhile, it frees less. Other
/// open sessions do not count: each of them is checked itself. A session of a public key gets only what the open sessions of private
/// keys leave.
fn exceeded_quota(
    tx: &Tx<'_>,
    session: &Session,
    is_public: bool,
    storage_limit: Option<u64>,
) -> Result<Option<QuotaHeadroom>, DbError> {
    let Some(usage) = usage::find(tx, session.workspace_id)? else { return Ok(None) };
    let replaced_bytes = replaced_bytes(tx, session.workspace_id, &session.folder, &session.file_name)?;
    let counting = if is_public { Counting::Private } else { Counting::None };
    let headroom = quota_headroom(&usage, counting, storage_limit, replaced_bytes);
    Ok(headroom.filter(|left| session.size_bytes > replaced_bytes && session.size_bytes > left.left_bytes()))
}

impl Records {
    /// The place of the session's file, or why it may not be there now: the key was revoked or may not take the path, or the
    /// workspace's quota is used up. Nothing is changed.
    fn find_place(
        tx: &Tx<'_>,
        session: &Session,
        public: &PublicLimits,
        storage_limit: Option<u64>,
    ) -> Result<Result<Place, UploadError>, DbError> {
        if api_keys::is_ended(tx, session.api_key_id)? {
            return Ok(Err(UploadError::KeyRevoked));
        }
        let place = match Place::find(tx, public, session.api_key_id, &session.folder, &session.file_name)? {
            Ok(place) => place,
            Err(refused) => return Ok(Err(refused.into())),
        };
        let is_public = place.key().is_public();
        Ok(match exceeded_quota(tx, session, is_public, storage_limit)? {
            Some(_) if is_public => Err(UploadError::workspace_full().into()),
            Some(headroom) => Err(UploadError::NoRoomInWorkspace(headroom)),
            None => Ok(place),
        })
    }

    /// Makes the session's file visible and completes the session, in one durable transaction, unless the session has ended.
    /// `session` is the one whose bytes were looked at.
    ///
    /// # Errors
    /// Those of [`Records::find_place`]. The session stays as it is, because the file at its path may be moved away, or quota freed.
    pub(in crate::service::upload) async fn publish(
        &self,
        session: &Session,
        occasion: Occasion,
        draft: FileDraft,
        part_records: PartRecords,
    ) -> Result<Published, UploadError> {
        let (grace, storage_limit, events) = (self.grace, self.storage_limit, self.events.clone());
        let (public, session_id) = (self.public, session.id);
        let made_by = session.store_upload_id.clone();
        let published = self.db.write(Durability::PowerLoss, move |tx| {
            let mut draft = draft.clone();
            let Some(mut session) = sessions::find_locked(tx, session_id)? else { return Ok(None) };
            if session.status != Status::Uploading {
                return Ok(Some(Ok(Published::Ended(Box::new(session)))));
            }
            if session.blob_id != draft.blob.id {
                return Ok(Some(Ok(Published::Changed)));
            }
            workspaces::lock(tx, session.workspace_id)?;
            // Its folder may have been renamed since.
            draft.folder.clone_from(&session.folder);
            let place = match Self::find_place(tx, &session, &public, storage_limit)? {
                Ok(place) => place,
                Err(refused) => return Ok(Some(Err(refused))),
            };
            if occasion == Occasion::Expiry && place.replaces_newer_than(session.created_at) {
                return Ok(Some(Ok(Published::Outdated)));
            }
            let file = publish_file(tx, &events, draft, place, grace)?;
            // Another upload may have been opened meanwhile: the row keeps the id of the one that became the file, for the sweep.
            session.store_upload_id = made_by.clone();
            sessions::complete(tx, &session, &file)?;
            part_records.forget_later(tx, session_id)?;
            Ok(Some(Ok(Published::Now(Box::new(file)))))
        });
        let published = published.await?.ok_or_else(|| UploadError::SessionNotFound(session_id.to_string()))??;
        if let Published::Now(file) = &published {
            self.metrics.published("parts", file.size_bytes);
        }
        self.events.ring();
        Ok(published)
    }

    /// Checks early, before the store or the disk does any work, whether the session's file may be at its path; publishing checks
    /// again.
    ///
    /// # Errors
    /// Those of [`Records::find_place`].
    pub(in crate::service::upload) async fn check_place(&self, session: &Session) -> Result<(), UploadError> {
        let (public, storage_limit, session) = (self.public, self.storage_limit, session.clone());
        let place = self.db.read(move |tx| {
            // Its folder may have been renamed since it was opened.
            let session = sessions::find(tx, session.id)?.unwrap_or(session.clone());
            Self::find_place(tx, &session, &public, storage_limit)
        });
        place.await?.map(drop)
    }
}
