//! Completing a session: the file becomes visible, exactly once.

use uuid::Uuid;

use super::quota::{QuotaHeadroom, quota_headroom};
use super::records::Records;
use super::status::Found;
use super::{UploadError, Uploads, to_its_end};
use crate::db::files::File;
use crate::db::sessions::{self, Session, Status};
use crate::db::usage::{self, Counting};
use crate::db::{DbError, Durability, Tx, api_keys, parts, workspaces};
use crate::input::{EtagsHash, FileHash, HashKind, MediaType};
use crate::media::FileType;
use crate::model::PublicLimits;
use crate::model::StorageKind;
use crate::service::key::Identity;
use crate::service::publish::{FileDraft, Place, publish_file, replaced_bytes};

/// How files that clients send say where they came from.
pub(super) const UPLOAD_SOURCE: &str = "api";

impl Uploads {
    /// Completes a session, or tells what completing it has given. When this returns, the bytes and the record
    /// survive a power cut. Once begun it goes on to its end, even when the request goes away.
    ///
    /// # Errors
    /// [`UploadError::PartsMissing`] when parts are missing, [`UploadError::HashMismatch`] when they are not those of
    /// the file that `hash` or the session's start names, and [`UploadError::OtherParts`] when they are not those that
    /// `etags` names; nothing has changed then.
    pub async fn complete(
        &self,
        identity: &Identity,
        session_id: &str,
        uuid: Option<&str>,
        hash: Option<FileHash>,
        etags: Option<EtagsHash>,
    ) -> Result<File, UploadError> {
        match self.find(identity, session_id).await? {
            Found::Live(live) => {
                check_uuid(&live.session, uuid)?;
                check_hash_kind(hash.as_ref(), StorageKind::Local)?;
                check_etags_are_compared(etags.as_ref(), StorageKind::Local)?;
                let local = self.local()?.clone();
                to_its_end(async move { local.complete(live, hash).await }).await
            }
            Found::InStore(session) => {
                check_uuid(&session, uuid)?;
                check_hash_kind(hash.as_ref(), StorageKind::S3)?;
                self.check_hash_is_kept(hash.as_ref(), StorageKind::S3).await?;
                let s3 = self.s3()?.clone();
                to_its_end(async move { s3.complete(session.id, hash, etags).await }).await
            }
            Found::Ended(session) => {
                check_uuid(&session, uuid)?;
                check_etags_are_compared(etags.as_ref(), session.storage)?;
                check_noted_etags(&session, hash.as_ref(), etags.as_ref())?;
                completed_file(*session, hash.as_ref())
            }
        }
    }
}

impl Uploads {
    /// The kind of hash that is compared with files that go to this storage; none where the store keeps none, or does not
    /// say whether it does.
    pub async fn hash_kind(&self, storage: StorageKind) -> Option<HashKind> {
        let is_compared = match storage {
            StorageKind::Local => true,
            StorageKind::S3 => match self.s3() {
                Ok(s3) => s3.keeps_checksums().await.unwrap_or_else(|error| {
                    tracing::warn!(error = %crate::error_chain::error_chain(&error), "whether the store keeps checksums is not known");
                    false
                }),
                Err(_) => false,
            },
        };
        is_compared.then(|| HashKind::of(storage))
    }

    /// Whether there will be something to compare a hash with. Whoever names one wants it compared.
    pub(super) async fn check_hash_is_kept(
        &self,
        hash: Option<&FileHash>,
        storage: StorageKind,
    ) -> Result<(), UploadError> {
        match hash {
            Some(hash) if storage == StorageKind::S3 && !self.s3()?.keeps_checksums().await? => {
                Err(UploadError::HashNotKept { declared: hash.as_str().to_owned() })
            }
            _ => Ok(()),
        }
    }
}

fn check_uuid(session: &Session, uuid: Option<&str>) -> Result<(), UploadError> {
    match uuid {
        Some(given) if Uuid::try_parse(given) != Ok(session.file_id) => {
            Err(UploadError::UuidMismatch { given: given.to_owned(), expected: session.file_id })
        }
        _ => Ok(()),
    }
}

/// Whether a hash of this kind can be compared with what arrives in the storage. One that cannot is refused: whoever
/// names it wants it compared.
pub(super) fn check_hash_kind(hash: Option<&FileHash>, storage: StorageKind) -> Result<(), UploadError> {
    let known = HashKind::of(storage);
    match hash.filter(|hash| hash.kind() != known) {
        Some(hash) => Err(UploadError::HashKind { declared: hash.as_str().to_owned(), known }),
        None => Ok(()),
    }
}

/// Local storage compares the hash of the whole file, and no ETags.
fn check_etags_are_compared(etags: Option<&EtagsHash>, storage: StorageKind) -> Result<(), UploadError> {
    match etags {
        Some(_) if storage == StorageKind::Local => Err(UploadError::EtagsNotCompared),
        _ => Ok(()),
    }
}

/// Whether the store made the session's object of the parts that these ETags name. Where that was not noted, nobody knows. A
/// hash of the whole says more.
pub(super) fn check_noted_etags(
    session: &Session,
    hash: Option<&FileHash>,
    etags: Option<&EtagsHash>,
) -> Result<(), UploadError> {
    match etags {
        Some(etags) if hash.is_none() && matches!(session.status, Status::Uploading | Status::Completed) => {
            let is_noted = session.complete_hash.as_deref() == Some(etags.note().as_str());
            if is_noted { Ok(()) } else { Err(UploadError::OtherParts(session.id)) }
        }
        _ => Ok(()),
    }
}

/// The answer that completing the session gave.
pub(super) fn completed_file(session: Session, hash: Option<&FileHash>) -> Result<File, UploadError> {
    match (session.status, session.completed_file) {
        (Status::Completed, Some(file)) => {
            check_hash_kind(hash, session.storage)?;
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

/// Compares the hash that the client names with the one of the bytes that came. A hash that there is nothing to compare with is refused.
pub(super) fn check_hash(declared: Option<&str>, received: Option<&str>) -> Result<(), UploadError> {
    match (declared, received) {
        (Some(declared), Some(received)) if declared != received => {
            Err(UploadError::HashMismatch { declared: declared.to_owned(), received: received.to_owned() })
        }
        (Some(declared), None) => Err(UploadError::HashNotKept { declared: declared.to_owned() }),
        _ => Ok(()),
    }
}

/// What the session's file is, by how it begins.
pub(super) fn file_type(session: &Session, head: &[u8]) -> FileType {
    match MediaType::parse(&session.mime_type) {
        Ok(declared) => FileType::of(head, &declared),
        // It was checked when the session was started.
        Err(_) => FileType { mime_type: session.mime_type.clone(), declared: session.mime_type.clone() },
    }
}

/// What a session's file is to be.
pub(super) fn draft(
    session: &Session,
    file_type: FileType,
    hash: Option<String>,
    dimensions: Option<(u32, u32)>,
) -> FileDraft {
    FileDraft {
        id: session.file_id,
        workspace_id: session.workspace_id,
        api_key_id: session.api_key_id,
        folder: session.folder.clone(),
        name: session.file_name.clone(),
        blob: session.blob(),
        size_bytes: session.size_bytes,
        file_type,
        dimensions,
        hash,
        tags: session.tags.clone(),
        metadata: session.metadata.clone(),
        custom_id: session.custom_id.clone(),
        upload_source: UPLOAD_SOURCE,
        entity_tag: None,
        webhook_url: session.webhook_url.clone(),
    }
}

/// Why a session is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    /// Its client completes it.
    Complete,
    /// It expires, and completing it was cut off before anybody heard of the file.
    Expiry,
}

/// What came of publishing.
pub(super) enum Published {
    /// The file is visible from now on.
    Now(Box<File>),
    /// The session had ended before, here or on another node.
    Ended(Box<Session>),
    /// The session began anew with another blob, on another node.
    Changed,
    /// The file may not be at its path now; nothing has changed.
    Refused(UploadError),
    /// It expires, and at its path is a file that was put or changed there after the upload began.
    Outdated,
}

/// Whether the workspace's files would grow beyond its limit. A session of a private key has its room since it was started, less the
/// file that it was to replace: one that was renamed or has shrunk meanwhile frees less. Sessions that others have open do not count:
/// they look for themselves. One of a public key has only the room that the open sessions of private keys leave.
fn too_little_room(
    tx: &Tx<'_>,
    session: &Session,
    is_public: bool,
    storage_limit: Option<u64>,
) -> Result<Option<QuotaHeadroom>, DbError> {
    let Some(usage) = usage::find(tx, session.workspace_id)? else { return Ok(None) };
    let replaced_bytes = replaced_bytes(tx, session.workspace_id, &session.folder, &session.file_name)?;
    let counting = if is_public { Counting::Private } else { Counting::None };
    let room = quota_headroom(&usage, counting, storage_limit, replaced_bytes);
    Ok(room.filter(|room| session.size_bytes > replaced_bytes && session.size_bytes > room.left_bytes()))
}

impl Records {
    /// The place of the session's file, or why it may not be there now: the key was revoked or may not take the path, or the
    /// workspace has no room. Nothing is changed.
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
        Ok(match too_little_room(tx, session, is_public, storage_limit)? {
            Some(_) if is_public => Err(UploadError::workspace_full().into()),
            Some(room) => Err(UploadError::NoRoomInWorkspace(room)),
            None => Ok(place),
        })
    }

    /// Makes the session's file visible and completes the session, in one transaction, unless it has ended. `session` is as
    /// it was when its bytes were looked at.
    ///
    /// # Errors
    /// Those of [`Records::find_place`]: the session stays as it is, since the file there may be moved, or room made.
    pub(super) async fn publish(
        &self,
        session: &Session,
        occasion: Occasion,
        draft: FileDraft,
    ) -> Result<Published, UploadError> {
        let (grace, storage_limit, events) = (self.grace, self.storage_limit, self.events.clone());
        let (public, session_id) = (self.public, session.id);
        let made_by = session.store_upload_id.clone();
        let published = self.db.write(Durability::PowerLoss, move |tx| {
            let Some(mut session) = sessions::find_locked(tx, session_id)? else { return Ok(None) };
            if session.status != Status::Uploading {
                return Ok(Some(Published::Ended(Box::new(session))));
            }
            if session.blob_id != draft.blob.id {
                return Ok(Some(Published::Changed));
            }
            workspaces::lock(tx, session.workspace_id)?;
            let place = match Self::find_place(tx, &session, &public, storage_limit)? {
                Ok(place) => place,
                Err(refused) => return Ok(Some(Published::Refused(refused))),
            };
            if occasion == Occasion::Expiry && place.replaces_newer_than(session.created_at) {
                return Ok(Some(Published::Outdated));
            }
            let file = publish_file(tx, &events, draft, place, grace)?;
            // Another one may have been opened meanwhile: the sweep has to know which of them became the file.
            session.store_upload_id = made_by.clone();
            sessions::complete(tx, &session, &file)?;
            if session.storage == StorageKind::Local {
                parts::forget_later(tx, session_id)?;
            }
            Ok(Some(Published::Now(Box::new(file))))
        });
        let published = published.await?.ok_or_else(|| UploadError::SessionNotFound(session_id.to_string()))?;
        if let Published::Refused(refused) = published {
            return Err(refused);
        }
        self.events.ring();
        Ok(published)
    }

    /// Whether the session's file may be at its path, before that takes any work: publishing looks again.
    ///
    /// # Errors
    /// Those of [`Records::find_place`].
    pub(super) async fn check_place(&self, session: &Session) -> Result<(), UploadError> {
        let (public, storage_limit, session) = (self.public, self.storage_limit, session.clone());
        let place = self.db.read(move |tx| Self::find_place(tx, &session, &public, storage_limit));
        place.await?.map(drop)
    }
}
