//! Completing a session: the file becomes visible, exactly once.

use std::sync::Arc;

use uuid::Uuid;

use super::live::LiveSession;
use super::registry::Found;
use super::{UploadError, Uploads, blocking, to_its_end};
use crate::db::files::File;
use crate::db::sessions::{self, Session, Status};
use crate::db::{DbError, Durability, Timestamp, parts};
use crate::failpoint;
use crate::input::{FileHash, MediaType};
use crate::media;
use crate::service::file::{FileDraft, publish_file};
use crate::service::key::Identity;

/// How files that come by multipart upload say where they came from.
const UPLOAD_SOURCE: &str = "api";

impl Uploads {
    /// Completes a session, or tells what completing it has given. When this returns, the bytes and the record
    /// survive a power cut. Once begun it goes on to its end, even when the request goes away.
    ///
    /// # Errors
    /// [`UploadError::PartsMissing`] when parts are missing, [`UploadError::HashMismatch`] when they are not those of
    /// the file that `hash` or the session's start names; nothing has changed then.
    pub async fn complete(
        &self,
        identity: &Identity,
        session_id: &str,
        uuid: Option<&str>,
        hash: Option<FileHash>,
    ) -> Result<File, UploadError> {
        match self.find(identity, session_id).await? {
            Found::Live(live) => {
                check_uuid(&live.session, uuid)?;
                to_its_end(complete_live(self.clone(), live, hash)).await
            }
            Found::Ended(session) => {
                check_uuid(&session, uuid)?;
                completed_file(*session, hash.as_ref())
            }
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

/// The answer that completing the session gave.
fn completed_file(session: Session, hash: Option<&FileHash>) -> Result<File, UploadError> {
    match (session.status, session.completed_file) {
        (Status::Completed, Some(file)) => {
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

/// What the client says of the whole file, against what came.
fn check_hash(declared: Option<&str>, received: Option<&str>) -> Result<(), UploadError> {
    match (declared, received) {
        (Some(declared), Some(received)) if declared != received => {
            Err(UploadError::HashMismatch { declared: declared.to_owned(), received: received.to_owned() })
        }
        _ => Ok(()),
    }
}

async fn complete_live(uploads: Uploads, live: Arc<LiveSession>, hash: Option<FileHash>) -> Result<File, UploadError> {
    let session_id = live.session.id;
    let deciding = live.ending.lock().await;
    if live.ended() == Some(Status::Completed) {
        // Another request completed it while this one waited.
        let session = uploads.db.read(move |tx| sessions::find(tx, session_id)).await?;
        return session.map_or(Err(UploadError::SessionNotFound(session_id.to_string())), |session| {
            completed_file(session, hash.as_ref())
        });
    }
    if live.expires_at() <= Timestamp::now() {
        return Err(UploadError::SessionExpired(session_id));
    }
    let guard = live.begin_ending()?;
    let received = live.hash().map(|hash| format!("blake3:{hash}"));
    check_hash(live.session.declared_hash.as_deref(), received.as_deref())?;
    check_hash(hash.as_ref().map(FileHash::as_str), received.as_deref())?;
    failpoint::pass("complete.before_sync");
    uploads.sync(&live).await?;
    failpoint::pass("complete.after_sync");
    let draft = describe(&uploads, &live, received).await?;
    failpoint::pass("complete.before_commit");
    let published = uploads.db.write(Durability::PowerLoss, move |tx| {
        let Some(session) = sessions::find(tx, session_id)? else { return Ok(Err(None)) };
        if session.status != Status::Uploading {
            return Ok(Err(Some(session.status)));
        }
        let file = publish_file(tx, draft)?;
        sessions::complete(tx, &session, &file)?;
        parts::forget_later(tx, session_id)?;
        Ok(Ok(file))
    });
    let file = match published.await? {
        Ok(file) => file,
        // It was ended before this process opened it.
        Err(ended) => return Err(UploadError::ended_or_gone(session_id, ended)),
    };
    failpoint::pass("complete.after_commit");
    guard.completed();
    uploads.registry.remove(session_id);
    drop(deciding);
    uploads.garbage_bell.notify_one();
    Ok(file)
}

/// Brings the blob's name onto the disk, and says what is to be published. No byte is copied, and but for the header
/// of an image or a video none is read.
async fn describe(uploads: &Uploads, live: &Arc<LiveSession>, hash: Option<String>) -> Result<FileDraft, UploadError> {
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
            hash,
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
