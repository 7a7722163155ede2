//! Starting a session: a row first, then the space for its bytes. Bytes that exist always have an owner, whenever the process ends.

use partway_api::PartPlan;
use uuid::Uuid;

use super::session::{Idempotency, NewSession, PublicStart, check_hash_kind, new_session, plan_of};
use super::tasks::to_its_end;
use super::{UploadError, Uploads};
use crate::db::sessions::{Session, Status};
use crate::input::{HashKind, StartUpload};
use crate::service::key::Identity;
use crate::service::public_keys::check_webhook_url;

/// A session that was just started.
#[derive(Debug, Clone)]
pub struct Started {
    /// The session.
    pub session: Session,
    /// How the file is cut.
    pub plan: PartPlan,
    /// A public key of the workspace that may be shown, by its id.
    pub public_key_id: Option<Uuid>,
    /// The store's URLs of the parts; `None` where parts go to this server, which signs its own.
    pub store_urls: Option<Vec<String>>,
}

impl Uploads {
    /// Starts a session. When this returns, the session survives a power cut and, unless reserving is off, the file's full size
    /// is set aside on the local disk. Once begun it runs to its end, even when the request is cancelled.
    ///
    /// # Errors
    /// [`UploadError::Storage`] with `Full` when there is no space; nothing remains of the session then.
    pub async fn start(
        &self,
        identity: &Identity,
        upload: StartUpload,
        idempotency: Option<Idempotency>,
    ) -> Result<Started, UploadError> {
        let primary = self.backends.primary;
        check_hash_kind(upload.hash.as_ref(), HashKind::of(primary))?;
        check_webhook_url(identity, upload.webhook_url.as_ref())?;
        self.check_hash_is_kept(upload.hash.as_ref(), primary).await?;
        self.check_webhook(upload.webhook_url.as_ref()).await?;
        let new = self.new_session(identity, upload, idempotency).await?;
        let uploads = self.clone();
        to_its_end(async move { uploads.start_session(new).await }).await
    }

    /// The session that `start` stores, with the limits that it is held to.
    ///
    /// # Errors
    /// When database or disk fail.
    pub async fn new_session(
        &self,
        identity: &Identity,
        upload: StartUpload,
        idempotency: Option<Idempotency>,
    ) -> Result<NewSession, UploadError> {
        let plan = upload.plan;
        let disk = self.strangers_disk(identity, plan.size_bytes()).await?;
        let session = new_session(identity, upload, self.backends.primary, &self.storage_epoch);
        let public = identity.is_public().then_some(PublicStart { limits: self.records.public, disk });
        let (limits, places) = (self.limits, self.records.public);
        Ok(NewSession { session, plan, idempotency, limits, places, public })
    }

    async fn start_session(&self, new: NewSession) -> Result<Started, UploadError> {
        // A repetition is answered only once it is known whether the first request succeeds.
        let _guard = match &new.idempotency {
            Some(named) => Some(self.starts.lock((new.session.api_key_id, named.key.clone())).await),
            None => None,
        };
        let started = self.backends.of(new.session.storage)?.start(new).await?;
        let backend = self.backends.of(started.session.storage)?;
        let session = match started.session.status {
            // The process that answered first may have ended before the session had its place for bytes.
            Status::Uploading if started.is_repeated => backend.ensure_blob(started.session).await?,
            _ => started.session,
        };
        let plan = plan_of(&session)?;
        let parts = (0..plan.parts()).collect();
        let store_urls = backend.part_urls(session.clone(), parts, session.expires_at).await?;
        Ok(Started { session, plan, public_key_id: started.public_key_id, store_urls })
    }
}
