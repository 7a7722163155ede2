//! A session that is to be: its row with its expiry, and the transaction that stores it or finds the session of the same `Idempotency-Key`.

use partway_api::PartPlan;
use partway_api::limits::IDEMPOTENCY_SECONDS;
use uuid::Uuid;

use super::UploadError;
use super::quota::{QuotaHeadroom, counted_at_start, quota_headroom};
use crate::db::idempotency::{self, IdempotentRequest};
use crate::db::sessions::{self, Session, Status};
use crate::db::{Db, DbError, Durability, Timestamp, Tx, api_keys, usage, workspaces};
use crate::input::{IdempotencyKey, InvalidInput, StartUpload};
use crate::model::{PublicLimits, StorageKind, WorkspaceLimits};
use crate::service::key::Identity;
use crate::service::public_keys::StrangersDisk;
use crate::service::replacement::{Place, replaced_bytes};

/// A request with an `Idempotency-Key`; repeating it answers the same session.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// The key that the client chose.
    pub key: IdempotencyKey,
    /// SHA-256 of the request body: another body with the same key is refused.
    pub request_sha256: [u8; 32],
}

/// A session that was started, now or by an earlier request with the same `Idempotency-Key`.
#[derive(Debug, Clone)]
pub struct SessionStart {
    /// The session.
    pub session: Session,
    /// A public key of the workspace that may be shown, by its id.
    pub public_key_id: Option<Uuid>,
    /// Whether an earlier request started it.
    pub is_repeated: bool,
}

/// The outcome of storing a new session.
pub(in crate::service::upload) enum StoredStart {
    /// It is stored. With a public key of the workspace that may be shown.
    New(Option<Uuid>),
    /// An earlier request with the same `Idempotency-Key` started this session.
    Repeated(Box<SessionStart>),
}

/// The outcome of the transaction.
enum Inserted {
    New,
    Repeated(Box<Session>),
    Refused(UploadError),
}

/// A session that is to be.
#[derive(Debug, Clone)]
pub struct NewSession {
    pub(in crate::service::upload) session: Session,
    pub(in crate::service::upload) plan: PartPlan,
    pub(in crate::service::upload) idempotency: Option<Idempotency>,
    /// Limits of workspaces that have none of their own.
    pub(in crate::service::upload) limits: WorkspaceLimits,
    /// Limits of public keys: which paths they may take.
    pub(in crate::service::upload) places: PublicLimits,
    /// Present when it is started with a public key.
    pub(in crate::service::upload) public: Option<PublicStart>,
}

/// Limits of a session of a public key.
#[derive(Debug, Clone, Copy)]
pub(in crate::service::upload) struct PublicStart {
    pub(in crate::service::upload) limits: PublicLimits,
    /// The disk that its bytes go to, if they go to one.
    pub(in crate::service::upload) disk: Option<StrangersDisk>,
}

impl PublicStart {
    /// Why the session is refused, if it is. The path is checked here so that no client sends bytes in vain, and again when the file
    /// is published.
    fn refuses(&self, tx: &Tx<'_>, session: &Session) -> Result<Option<InvalidInput>, DbError> {
        let place = Place::find(tx, &self.limits, session.api_key_id, &session.folder, &session.file_name)?;
        Ok(match place {
            Ok(place) => self.limits.check_session(tx, place.key(), session.size_bytes, self.disk.as_ref())?.err(),
            Err(refused) => Some(refused),
        })
    }
}

impl NewSession {
    /// Brings its row into the database, durably. Also finds a public key that may be shown.
    ///
    /// # Errors
    /// When a rule refuses it, or the database fails.
    pub(in crate::service::upload) async fn store(&self, db: &Db) -> Result<StoredStart, UploadError> {
        let new = self.clone();
        let written = db.write(Durability::PowerLoss, move |tx| {
            let public_key = api_keys::first_public(tx, new.session.workspace_id)?;
            Ok((new.insert(tx)?, public_key.map(|key| key.id)))
        });
        let (inserted, public_key_id) = written.await?;
        match inserted {
            Inserted::New => Ok(StoredStart::New(public_key_id)),
            Inserted::Repeated(first) => {
                Ok(StoredStart::Repeated(Box::new(SessionStart { session: *first, public_key_id, is_repeated: true })))
            }
            Inserted::Refused(error) => Err(error),
        }
    }

    fn insert(&self, tx: &Tx<'_>) -> Result<Inserted, DbError> {
        let Self { session, idempotency, limits, places, public, .. } = self;
        workspaces::lock(tx, session.workspace_id)?;
        if let Some(Idempotency { key, request_sha256 }) = idempotency {
            let since = Timestamp::now().minus_seconds(IDEMPOTENCY_SECONDS);
            if let Some(used) = idempotency::find(tx, session.api_key_id, key.as_str(), since)? {
                if used.request_sha256 != *request_sha256 {
                    return Ok(Inserted::Refused(UploadError::IdempotencyKeyReused(key.as_str().to_owned())));
                }
                // A session that was forgotten meanwhile is started again.
                if let Some(first) = sessions::find(tx, used.session_id)? {
                    return Ok(Inserted::Repeated(Box::new(first)));
                }
            }
        }
        let refused = match public {
            Some(public) => public.refuses(tx, session)?,
            None => Place::find(tx, places, session.api_key_id, &session.folder, &session.file_name)?.err(),
        };
        if let Some(refused) = refused {
            return Ok(Inserted::Refused(refused.into()));
        }
        if let Some(usage) = usage::find(tx, session.workspace_id)? {
            let size_bytes = session.size_bytes;
            let replaced_bytes = replaced_bytes(tx, session.workspace_id, &session.folder, &session.file_name)?;
            let counting = counted_at_start(public.is_some());
            let headroom = quota_headroom(&usage, counting, limits.storage_bytes, replaced_bytes);
            if let Some(QuotaHeadroom { counted_bytes, limit_bytes }) =
                headroom.filter(|headroom| size_bytes > headroom.left_bytes())
            {
                return Ok(Inserted::Refused(match public {
                    // A public key learns nothing of the bytes that others have there.
                    Some(_) => UploadError::WorkspaceFull,
                    None => UploadError::StorageLimitExceeded { size_bytes, counted_bytes, limit_bytes },
                }));
            }
            let open = usage.counted_sessions(counting);
            let max_open = usage.limits.max_open_sessions.or(limits.max_open_sessions);
            if let Some(limit) = max_open.filter(|max| open >= *max) {
                return Ok(Inserted::Refused(match public {
                    Some(_) => UploadError::WorkspaceBusy,
                    None => UploadError::TooManySessions { open, limit },
                }));
            }
        }
        sessions::insert(tx, session)?;
        if let Some(Idempotency { key, request_sha256 }) = idempotency {
            let used = IdempotentRequest { request_sha256: *request_sha256, session_id: session.id };
            idempotency::insert(tx, session.api_key_id, key.as_str(), &used)?;
        }
        Ok(Inserted::New)
    }

    /// Frees the `Idempotency-Key`, because its session could not be started.
    pub(in crate::service::upload) fn free_idempotency_key(&self, tx: &Tx<'_>) -> Result<(), DbError> {
        match &self.idempotency {
            Some(named) => idempotency::delete(tx, self.session.api_key_id, named.key.as_str()),
            None => Ok(()),
        }
    }
}

/// The row of a session that `identity` starts in `storage`. `storage_epoch`: the epoch in which parts are received from now on.
pub(in crate::service::upload) fn new_session(
    identity: &Identity,
    upload: StartUpload,
    storage: StorageKind,
    storage_epoch: &str,
) -> Session {
    let plan = upload.plan;
    let created_at = Timestamp::now();
    Session {
        // A version 7 id begins with its time, so an id that is not found can be recognized as forgotten.
        id: Uuid::now_v7(),
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
        verified_in_epoch: storage_epoch.to_owned(),
        declared_hash: upload.hash.map(crate::input::FileHash::into_inner),
        completed_file: None,
        storage,
        store_upload_id: None,
        webhook_url: upload.webhook_url.map(crate::input::WebhookUrl::into_inner),
        complete_hash: None,
        ttl_seconds: upload.ttl_seconds,
        renewed_from: None,
    }
}
