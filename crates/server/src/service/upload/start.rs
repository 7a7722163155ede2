//! Starting a session: a row first, then the room on the disk. Bytes that exist thus always have an owner,
//! whenever the process ends.

use std::sync::Arc;

use partway_api::PartPlan;
use uuid::Uuid;

use super::live::LiveSession;
use super::{UploadError, Uploads, blocking};
use crate::boot::boot_id;
use crate::db::sessions::{self, Session, Status};
use crate::db::{Durability, Timestamp, api_keys};
use crate::input::StartUpload;
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

impl Uploads {
    /// Starts a session. When this returns, the session survives a power cut and, unless reserving is off, the
    /// file's full size is set aside on the disk.
    ///
    /// # Errors
    /// [`UploadError::Storage`] with `Full` when there is no room; nothing is left of the session then.
    pub async fn start(&self, identity: &Identity, upload: StartUpload) -> Result<Started, UploadError> {
        let plan = PartPlan::for_size(upload.size_bytes);
        let session = new_session(identity, upload, plan);
        let stored = session.clone();
        let public_key_id = self
            .db
            .write(Durability::PowerLoss, move |tx| {
                sessions::insert(tx, &stored)?;
                Ok(api_keys::first_public(tx, stored.workspace_id)?.map(|key| key.id))
            })
            .await?;
        let (store, blob_id, size_bytes) = (Arc::clone(&self.store), session.blob_id, session.size_bytes);
        match blocking(move || store.create(blob_id, size_bytes)).await {
            // Making the blob took longer than the session lives: the cleaner may have ended it meanwhile, and knows
            // of no blob.
            Ok(_) if session.expires_at <= Timestamp::now() => {
                let store = Arc::clone(&self.store);
                blocking(move || store.delete(blob_id)).await?;
                return Err(UploadError::SessionExpired(session.id));
            }
            Ok(blob) => self.registry.insert(LiveSession::fresh(session.clone(), plan, blob)),
            Err(error) => {
                let session_id = session.id;
                self.db.write(Durability::Process, move |tx| sessions::delete(tx, session_id)).await?;
                return Err(error);
            }
        }
        Ok(Started { session, plan, public_key_id })
    }
}

fn new_session(identity: &Identity, upload: StartUpload, plan: PartPlan) -> Session {
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
        trusted_boot_id: boot_id().to_owned(),
        completed_file: None,
    }
}
