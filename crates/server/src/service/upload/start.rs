//! Starting a session: a row first, then the room for its bytes. Bytes that exist thus always have an owner,
//! whenever the process ends.

use partway_api::PartPlan;
use partway_api::limits::IDEMPOTENCY_SECONDS;
use uuid::Uuid;

use super::complete::check_hash_kind;
use super::quota::{QuotaHeadroom, counted_at_start, quota_headroom};
use super::{UploadError, Uploads, to_its_end};
use crate::db::idempotency::{self, Used};
use crate::db::sessions::{self, Session, Status};
use crate::db::{Db, DbError, Durability, Timestamp, Tx, api_keys, usage, workspaces};
use crate::input::{IdempotencyKey, InvalidInput, StartUpload};
use crate::model::PublicLimits;
use crate::model::StorageKind;
use crate::model::WorkspaceLimits;
use crate::service::key::Identity;
use crate::service::public_keys::{StrangersDisk, check_webhook_url};
use crate::service::publish::{Place, replaced_bytes};

/// A session that was just started.
#[derive(Debug, Clone)]
pub struct Started {
    /// The session.
    pub session: Session,
    /// How the file is cut.
    pub plan: PartPlan,
    /// A public key of the workspace that may be shown, by its id.
    pub public_key_id: Option<Uuid>,
    /// The store's URLs of the parts, where they go to the store.
    pub store_urls: Option<Vec<String>>,
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

/// Why there is no new session.
pub(super) enum NotStarted {
    Repeated(Box<Session>),
    Failed(UploadError),
}

impl<E: Into<UploadError>> From<E> for NotStarted {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Uploads {
    /// Starts a session. When this returns, the session survives a power cut and, unless reserving is off, the
    /// file's full size is set aside on the local disk. Once begun it goes on to its end, even when the request goes away.
    ///
    /// # Errors
    /// [`UploadError::Storage`] with `Full` when there is no room; nothing is left of the session then.
    pub async fn start(
        &self,
        identity: &Identity,
        upload: StartUpload,
        idempotency: Option<Idempotency>,
    ) -> Result<Started, UploadError> {
        check_hash_kind(upload.hash.as_ref(), self.primary)?;
        check_webhook_url(identity, upload.webhook_url.as_ref())?;
        self.check_hash_is_kept(upload.hash.as_ref(), self.primary).await?;
        self.check_webhook(upload.webhook_url.as_ref()).await?;
        let disk = self.strangers_disk(identity, upload.size_bytes).await?;
        let plan = PartPlan::for_size(upload.size_bytes);
        let mut session = new_session(identity, upload, plan, self.primary);
        if let Some(local) = &self.local {
            session.trusted_boot_id = local.trust().to_owned();
        }
        let public = identity.is_public().then_some(PublicStart { limits: self.records.public, disk });
        let (limits, places) = (self.limits, self.records.public);
        let new = NewSession { session, plan, idempotency, limits, places, public };
        let uploads = self.clone();
        to_its_end(async move { uploads.start_session(new).await }).await
    }

    async fn start_session(&self, new: NewSession) -> Result<Started, UploadError> {
        // A repetition must not be answered while it is not known whether the first one succeeds.
        let _turn = match &new.idempotency {
            Some(named) => Some(self.starts.take_turn((new.session.api_key_id, named.key.clone())).await),
            None => None,
        };
        let mut public_key_id = None;
        let (session, plan) = (new.session.clone(), new.plan);
        let started = match session.storage {
            StorageKind::Local => self.local()?.start(new, &mut public_key_id).await.map(|()| session),
            StorageKind::S3 => self.s3()?.start(new, &mut public_key_id).await,
        };
        let (session, plan) = match started {
            Ok(session) => (session, plan),
            Err(NotStarted::Failed(error)) => return Err(error),
            Err(NotStarted::Repeated(first)) => (self.ensure_blob(*first.clone()).await?, super::plan_of(&first)?),
        };
        let store_urls = match session.storage {
            StorageKind::Local => None,
            StorageKind::S3 => {
                Some(self.s3()?.part_urls(&session, (0..plan.parts()).collect(), session.expires_at).await?)
            }
        };
        Ok(Started { session, plan, public_key_id, store_urls })
    }

    /// The process that answered a start first may have ended before the session had its place for bytes: then that is
    /// made now, or there is no room.
    async fn ensure_blob(&self, first: Session) -> Result<Session, UploadError> {
        match (first.status, first.storage) {
            (Status::Uploading, StorageKind::Local) => {
                self.local()?.open(first.id).await?;
                Ok(first)
            }
            (Status::Uploading, StorageKind::S3) => self.s3()?.with_upload(first).await,
            _ => Ok(first),
        }
    }
}

/// A session that is to be.
#[derive(Clone)]
pub(super) struct NewSession {
    pub(super) session: Session,
    pub(super) plan: PartPlan,
    pub(super) idempotency: Option<Idempotency>,
    /// Those of the settings.
    pub(super) limits: WorkspaceLimits,
    /// Where files may go.
    pub(super) places: PublicLimits,
    /// Where it is started with a public key.
    pub(super) public: Option<PublicStart>,
}

/// Limits of a session of a public key.
#[derive(Debug, Clone, Copy)]
pub(super) struct PublicStart {
    limits: PublicLimits,
    /// The disk that its bytes go to, if they go to one.
    disk: Option<StrangersDisk>,
}

impl PublicStart {
    /// Why the session may not be; the path is looked at here so that nobody sends bytes in vain, and again when it
    /// is taken.
    fn refuses(&self, tx: &Tx<'_>, session: &Session) -> Result<Option<InvalidInput>, DbError> {
        let place = Place::find(tx, &self.limits, session.api_key_id, &session.folder, &session.file_name)?;
        Ok(match place {
            Ok(place) => self.limits.check_session(tx, place.key(), session.size_bytes, self.disk.as_ref())?.err(),
            Err(refused) => Some(refused),
        })
    }
}

impl NewSession {
    /// Brings its row into the database. Also finds a public key that may be shown.
    pub(super) async fn store(&self, db: &Db, public_key_id: &mut Option<Uuid>) -> Result<(), NotStarted> {
        let new = self.clone();
        let written = db.write(Durability::PowerLoss, move |tx| {
            let public_key = api_keys::first_public(tx, new.session.workspace_id)?;
            Ok((new.insert(tx)?, public_key.map(|key| key.id)))
        });
        let stored;
        (stored, *public_key_id) = written.await?;
        match stored {
            Stored::New => Ok(()),
            Stored::Repeated(first) => Err(NotStarted::Repeated(first)),
            Stored::Refused(error) => Err(NotStarted::Failed(error)),
        }
    }

    fn insert(&self, tx: &Tx<'_>) -> Result<Stored, DbError> {
        let Self { session, idempotency, limits, places, public, .. } = self;
        workspaces::lock(tx, session.workspace_id)?;
        if let Some(Idempotency { key, request_sha256 }) = idempotency {
            let since = Timestamp::now().minus_seconds(IDEMPOTENCY_SECONDS);
            if let Some(used) = idempotency::find(tx, session.api_key_id, key.as_str(), since)? {
                if used.request_sha256 != *request_sha256 {
                    return Ok(Stored::Refused(UploadError::IdempotencyKeyReused(key.as_str().to_owned())));
                }
                // One that has just been forgotten is started anew.
                if let Some(first) = sessions::find(tx, used.session_id)? {
                    return Ok(Stored::Repeated(Box::new(first)));
                }
            }
        }
        let refused = match public {
            Some(public) => public.refuses(tx, session)?,
            None => Place::find(tx, places, session.api_key_id, &session.folder, &session.file_name)?.err(),
        };
        if let Some(refused) = refused {
            return Ok(Stored::Refused(refused.into()));
        }
        if let Some(usage) = usage::find(tx, session.workspace_id)? {
            let size_bytes = session.size_bytes;
            let replaced_bytes = replaced_bytes(tx, session.workspace_id, &session.folder, &session.file_name)?;
            let counting = counted_at_start(public.is_some());
            let room = quota_headroom(&usage, counting, limits.storage_bytes, replaced_bytes);
            if let Some(QuotaHeadroom { counted_bytes, limit_bytes }) =
                room.filter(|room| size_bytes > room.left_bytes())
            {
                return Ok(Stored::Refused(match public {
                    // How much others have there is none of a stranger's business.
                    Some(_) => UploadError::WorkspaceFull,
                    None => UploadError::StorageLimitExceeded { size_bytes, counted_bytes, limit_bytes },
                }));
            }
            let open = usage.counted_sessions(counting);
            let most = usage.limits.max_open_sessions.or(limits.max_open_sessions);
            if let Some(limit) = most.filter(|most| open >= *most) {
                return Ok(Stored::Refused(match public {
                    Some(_) => UploadError::WorkspaceBusy,
                    None => UploadError::TooManySessions { open, limit },
                }));
            }
        }
        sessions::insert(tx, session)?;
        if let Some(Idempotency { key, request_sha256 }) = idempotency {
            let used = Used { request_sha256: *request_sha256, session_id: session.id };
            idempotency::insert(tx, session.api_key_id, key.as_str(), &used)?;
        }
        Ok(Stored::New)
    }

    /// The name of the request is free again: its session could not be started.
    pub(super) fn free_name(&self, tx: &Tx<'_>) -> Result<(), DbError> {
        match &self.idempotency {
            Some(named) => idempotency::delete(tx, self.session.api_key_id, named.key.as_str()),
            None => Ok(()),
        }
    }
}

fn new_session(identity: &Identity, upload: StartUpload, plan: PartPlan, storage: StorageKind) -> Session {
    let created_at = Timestamp::now();
    Session {
        // Begins with its time: it is known of one that was forgotten that it is old.
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
        trusted_boot_id: String::new(),
        declared_hash: upload.hash.map(crate::input::FileHash::into_inner),
        completed_file: None,
        storage,
        store_upload_id: None,
        webhook_url: upload.webhook_url.map(crate::input::WebhookUrl::into_inner),
        complete_hash: None,
    }
}
