//! Completing a session: the file becomes visible, exactly once.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::live::LiveSession;
use super::registry::Found;
use super::{UploadError, Uploads, blocking, to_its_end};
use crate::db::api_keys::KeyKind;
use crate::db::files::File;
use crate::db::sessions::{self, Session, Status};
use crate::db::{DbError, Durability, Timestamp, parts};
use crate::input::MediaType;
use crate::media;
use crate::service::file::{FileDraft, publish_file};
use crate::service::key::Identity;

/// Between two tries to forget parts that could not be synced.
const FORGET_PAUSE: Duration = Duration::from_secs(1);
/// How files that come by multipart upload say where they came from.
const UPLOAD_SOURCE: &str = "api";

impl Uploads {
    /// Completes a session, or tells what completing it has given. When this returns, the bytes and the record
    /// survive a power cut. Once begun it goes on to its end, even when the request goes away.
    ///
    /// # Errors
    /// [`UploadError::PartsMissing`] when parts are missing; nothing has changed then.
    pub async fn complete(
        &self,
        identity: &Identity,
        session_id: &str,
        uuid: Option<&str>,
    ) -> Result<File, UploadError> {
        let not_found = || UploadError::SessionNotFound(session_id.to_owned());
        let id = Uuid::try_parse(session_id).map_err(|_| not_found())?;
        match self.registry.find(id).await?.ok_or_else(not_found)? {
            Found::Live(live) => {
                check_caller(&live.session, identity, uuid)?;
                to_its_end(complete_live(self.clone(), live)).await
            }
            Found::Ended(session) => {
                check_caller(&session, identity, uuid)?;
                completed_file(*session)
            }
        }
    }
}

/// Whether the caller may complete this session, and means it.
fn check_caller(session: &Session, identity: &Identity, uuid: Option<&str>) -> Result<(), UploadError> {
    if session.workspace_id != identity.workspace_id {
        return Err(UploadError::SessionNotFound(session.id.to_string()));
    }
    if identity.kind == KeyKind::Public && session.api_key_id != identity.api_key_id {
        return Err(UploadError::NotYours(session.id));
    }
    match uuid {
        Some(given) if Uuid::try_parse(given) != Ok(session.file_id) => {
            Err(UploadError::UuidMismatch { given: given.to_owned(), expected: session.file_id })
        }
        _ => Ok(()),
    }
}

/// The answer that completing the session gave.
fn completed_file(session: Session) -> Result<File, UploadError> {
    match (session.status, session.completed_file) {
        (Status::Completed, Some(file)) => Ok(file),
        (Status::Completed, None) => {
            Err(DbError::Corrupt { table: "sessions", problem: format!("{} is completed without a file", session.id) }
                .into())
        }
        (ended, _) => Err(UploadError::ended(session.id, ended)),
    }
}

async fn complete_live(uploads: Uploads, live: Arc<LiveSession>) -> Result<File, UploadError> {
    let session_id = live.session.id;
    let deciding = live.ending.lock().await;
    if live.ended() == Some(Status::Completed) {
        // Another request completed it while this one waited.
        let session = uploads.db.read(move |tx| sessions::find(tx, session_id)).await?;
        return session.map_or(Err(UploadError::SessionNotFound(session_id.to_string())), completed_file);
    }
    if live.session.expires_at <= Timestamp::now() {
        return Err(UploadError::SessionExpired(session_id));
    }
    let guard = live.begin_ending()?;
    let blob = Arc::clone(&live.blob);
    if let Err(error) = blocking(move || blob.sync()).await {
        forget_unsynced(&uploads, &live).await;
        return Err(error);
    }
    let draft = describe(&uploads, &live).await?;
    let published = uploads.db.write(Durability::PowerLoss, move |tx| {
        let file = publish_file(tx, draft)?;
        if !sessions::complete(tx, session_id, &file)? {
            return Err(DbError::Corrupt {
                table: "sessions",
                problem: format!("{session_id} ended while it was being completed"),
            });
        }
        parts::forget_later(tx, session_id)?;
        Ok(file)
    });
    let file = published.await?;
    guard.completed();
    uploads.registry.remove(session_id);
    drop(deciding);
    uploads.garbage_bell.notify_one();
    Ok(file)
}

/// After a failed sync the kernel drops what it could not write and tells it once: the next sync would succeed without
/// the bytes. So none of the parts is trusted any more; they have to be sent again. Nothing else is done with the
/// session until the database has heard of it, too.
async fn forget_unsynced(uploads: &Uploads, live: &LiveSession) {
    let session_id = live.session.id;
    live.forget_parts();
    while let Err(error) = uploads.db.write(Durability::Process, move |tx| parts::delete_all(tx, session_id)).await {
        tracing::error!(%session_id, error = %crate::error::chain(&error), "parts that were not synced are still recorded");
        tokio::time::sleep(FORGET_PAUSE).await;
    }
}

/// Brings the blob's name onto the disk, and says what is to be published. No byte is copied, and but for the header
/// of an image or a video none is read.
async fn describe(uploads: &Uploads, live: &Arc<LiveSession>) -> Result<FileDraft, UploadError> {
    let (store, live) = (Arc::clone(&uploads.store), Arc::clone(live));
    let described = blocking(move || {
        let session = &live.session;
        store.sync_name(session.blob_id)?;
        let mime = MediaType::parse(&session.mime_type).ok();
        Ok(FileDraft {
            id: session.file_id,
            workspace_id: session.workspace_id,
            folder: session.folder.clone(),
            name: session.file_name.clone(),
            blob_id: session.blob_id,
            size_bytes: session.size_bytes,
            mime_type: session.mime_type.clone(),
            format: mime.map(|mime| mime.extension(&session.file_name)).unwrap_or_default(),
            dimensions: media::dimensions(&session.mime_type, &live.blob),
            hash: live.hash().map(|hash| format!("blake3:{hash}")),
            tags: session.tags.clone(),
            metadata: session.metadata.clone(),
            custom_id: session.custom_id.clone(),
            upload_source: UPLOAD_SOURCE,
        })
    });
    let draft = described.await?;
    if draft.hash.is_none() {
        return Err(DbError::Corrupt {
            table: "parts",
            problem: format!("those of {} do not make its file", draft.id),
        }
        .into());
    }
    Ok(draft)
}
