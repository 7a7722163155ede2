//! Starting a session: a row first, then the room on the disk. Bytes that exist thus always have an owner,
//! whenever the process ends.

use std::sync::Arc;

use partway_api::PartPlan;
use partway_api::limits::IDEMPOTENCY_SECONDS;
use uuid::Uuid;

use super::live::LiveSession;
use super::{UploadError, Uploads, blocking, plan_of, to_its_end};
use crate::db::idempotency::{self, Used};
use crate::db::sessions::{self, Session, Status};
use crate::db::{DbError, Durability, Timestamp, Tx, api_keys, usage};
use crate::failpoint;
use crate::input::{IdempotencyKey, StartUpload};
use crate::service::key::Identity;

/// A session that was just started.
#[derive(Debug, Clone)]
pub struct Started {
    /// The session.
    pub session: Session,
    /// How the file is cut.
    pub plan: PartPlan,
    /// A public key of the workspace that may be shown, by its id.
    pub public_key_id: Option<Uuid>,
}

/// How a request names itself, so that repeating it answers the same session.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// The name.
    pub key: IdempotencyKey,
    /// SHA-256 of what is asked for: another body under the same name is a mistake.
    pub request_sha256: [u8; 32],
}

/// What the database made of a start.
enum Stored {
    New,
    /// The same request was answered before, with this session.
    Repeated(Box<Session>),
    Refused(UploadError),
}

impl Uploads {
    /// Starts a session. When this returns, the session survives a power cut and, unless reserving is off, the
    /// file's full size is set aside on the disk. Once begun it goes on to its end, even when the request goes away.
    ///
    /// # Errors
    /// [`UploadError::Storage`] with `Full` when there is no room; nothing is left of the session then.
    pub async fn start(
        &self,
        identity: &Identity,
        upload: StartUpload,
        idempotency: Option<Idempotency>,
    ) -> Result<Started, UploadError> {
        let plan = PartPlan::for_size(upload.size_bytes);
        let session = new_session(identity, upload, plan, &self.trust);
        to_its_end(start_session(self.clone(), session, plan, idempotency)).await
    }
}

/// Why there is no new session.
enum NotStarted {
    Repeated(Box<Session>),
    Failed(UploadError),
}

impl<E: Into<UploadError>> From<E> for NotStarted {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

async fn start_session(
    uploads: Uploads,
    session: Session,
    plan: PartPlan,
    idempotency: Option<Idempotency>,
) -> Result<Started, UploadError> {
    // A repetition must not be answered while it is not known whether the first one succeeds.
    let _turn = match &idempotency {
        Some(idempotency) => Some(uploads.starts.take_turn((session.api_key_id, idempotency.key.clone())).await),
        None => None,
    };
    let mut public_key_id = None;
    let made = make(&uploads, session.clone(), plan, idempotency, &mut public_key_id);
    let started = uploads.registry.start(session.id, made).await;
    let (session, plan) = match started {
        Ok(()) => (session, plan),
        Err(NotStarted::Failed(error)) => return Err(error),
        Err(NotStarted::Repeated(first)) => {
            // The process may have ended before the first one had its blob: then it is made now, or there is no room.
            uploads.registry.find(first.id).await?;
            let plan = plan_of(&first)?;
            (*first, plan)
        }
    };
    Ok(Started { session, plan, public_key_id })
}

/// The row, then the blob. Also finds a public key that may be shown.
async fn make(
    uploads: &Uploads,
    session: Session,
    plan: PartPlan,
    idempotency: Option<Idempotency>,
    public_key_id: &mut Option<Uuid>,
) -> Result<LiveSession, NotStarted> {
    let (stored, named, limit) = (session.clone(), idempotency.clone(), uploads.storage_limit);
    let written = uploads.db.write(Durability::PowerLoss, move |tx| {
        let public_key = api_keys::first_public(tx, stored.workspace_id)?;
        Ok((store(tx, &stored, named.as_ref(), limit)?, public_key.map(|key| key.id)))
    });
    let stored;
    (stored, *public_key_id) = written.await?;
    match stored {
        Stored::New => {}
        Stored::Repeated(first) => return Err(NotStarted::Repeated(first)),
        Stored::Refused(error) => return Err(NotStarted::Failed(error)),
    }
    failpoint::pass("start.after_row");
    let (store, blob_id, size_bytes) = (Arc::clone(&uploads.store), session.blob_id, session.size_bytes);
    match blocking(move || store.create(blob_id, size_bytes)).await {
        Ok(blob) => {
            failpoint::pass("start.after_reserve");
            Ok(LiveSession::fresh(session, plan, blob))
        }
        Err(error) => {
            let take_back = move |tx: &Tx<'_>| {
                if let Some(idempotency) = &idempotency {
                    idempotency::delete(tx, session.api_key_id, idempotency.key.as_str())?;
                }
                sessions::delete(tx, &session)
            };
            uploads.write_to_free(Durability::Process, take_back).await?;
            Err(NotStarted::Failed(error))
        }
    }
}

fn store(
    tx: &Tx<'_>,
    session: &Session,
    idempotency: Option<&Idempotency>,
    default_limit: Option<u64>,
) -> Result<Stored, DbError> {
    if let Some(Idempotency { key, request_sha256 }) = idempotency {
        let since = Timestamp::now().minus_seconds(IDEMPOTENCY_SECONDS);
        if let Some(used) = idempotency::find(tx, session.api_key_id, key.as_str(), since)? {
            if used.request_sha256 != *request_sha256 {
                return Ok(Stored::Refused(UploadError::IdempotencyKeyReused(key.as_str().to_owned())));
            }
            let first = sessions::find(tx, used.session_id)?;
            return first.map(|first| Stored::Repeated(Box::new(first))).ok_or_else(|| DbError::Corrupt {
                table: "idempotency_keys",
                problem: format!("session {} does not exist", used.session_id),
            });
        }
    }
    if let Some(usage) = usage::find(tx, session.workspace_id)? {
        let counted_bytes = usage.counted_bytes();
        let limit = usage.storage_limit_bytes.or(default_limit);
        if let Some(limit_bytes) = limit.filter(|limit| counted_bytes.saturating_add(session.size_bytes) > *limit) {
            let size_bytes = session.size_bytes;
            return Ok(Stored::Refused(UploadError::StorageLimitExceeded { size_bytes, counted_bytes, limit_bytes }));
        }
    }
    sessions::insert(tx, session)?;
    if let Some(Idempotency { key, request_sha256 }) = idempotency {
        let used = Used { request_sha256: *request_sha256, session_id: session.id };
        idempotency::insert(tx, session.api_key_id, key.as_str(), &used)?;
    }
    Ok(Stored::New)
}

fn new_session(identity: &Identity, upload: StartUpload, plan: PartPlan, trust: &str) -> Session {
    let created_at = Timestamp::now();
    Session {
        id: Uuid::new_v4(),
        workspace_id: identity.workspace_id,
        api_key_id: identity.api_key_id,
        status: Status::Uploading,
        file_id: Uuid::now_v7(),
        blob_id: Uuid::now_v7(),
        file_name: upload.file_name.as_str().to_owned(),
        folder: upload.folder.as_str().to_owned(),
        size_bytes: plan.size_bytes(),
        part_size_bytes: plan.part_size_bytes(),
        mime_type: upload.media_type.as_str().to_owned(),
        tags: upload.tags.into_inner(),
        metadata: upload.metadata.map(crate::input::Metadata::into_inner),
        custom_id: upload.custom_id.map(crate::input::CustomId::into_inner),
        created_at,
        expires_at: created_at.plus_seconds(upload.ttl_seconds),
        trusted_boot_id: trust.to_owned(),
        declared_hash: upload.hash.map(crate::input::FileHash::into_inner),
        completed_file: None,
    }
}
