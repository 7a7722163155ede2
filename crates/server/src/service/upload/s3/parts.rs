//! Which parts the store has, and URLs for the missing ones.

use std::collections::HashMap;
use std::sync::Arc;

use partway_api::PartPlan;
use partway_api::limits::MAX_PARTS;

use super::{S3Uploads, UploadError, blocking, plan_of};
use crate::db::Timestamp;
use crate::db::sessions::Session;
use crate::service::upload::session::{Resigned, SessionState, choose};
use crate::storage::{BlobStore, PartInStore, StoredBlob};

/// The state of a session at the store.
pub(super) enum InStore {
    /// Its upload is open and has these parts.
    Open {
        /// The upload.
        upload_id: String,
        /// Its parts.
        parts: Vec<PartInStore>,
    },
    /// The object exists: completing it was not finished.
    Complete(StoredBlob),
    /// There is no upload: it was never opened, or was aborted.
    Nothing,
}

impl InStore {
    /// Indices of the parts that are there, and of the missing ones. A part of another size is missing.
    pub(super) fn parts(&self, plan: &PartPlan) -> (Vec<u32>, Vec<u32>) {
        let sizes: HashMap<u32, u64> = match self {
            Self::Complete(_) => return ((0..plan.parts()).collect(), Vec::new()),
            Self::Nothing => HashMap::new(),
            Self::Open { parts, .. } => parts.iter().map(|part| (part.index, part.size_bytes)).collect(),
        };
        (0..plan.parts()).partition(|index| sizes.get(index).copied() == plan.part_len(*index))
    }

    /// The ETags of these parts, without quotes; empty once the object exists.
    fn etags(&self, indices: &[u32]) -> Vec<String> {
        let Self::Open { parts, .. } = self else { return Vec::new() };
        let wanted = parts.iter().filter(|part| indices.binary_search(&part.index).is_ok());
        wanted.map(|part| part.entity_tag.trim_matches('"').to_owned()).collect()
    }
}

impl S3Uploads {
    /// Asks the store. Some stores go on listing an upload that was completed, without its parts. Where completing was asked for and parts
    /// seem to be missing, the object is looked for, too.
    pub(super) async fn look(&self, session: &Session) -> Result<InStore, UploadError> {
        let Some(upload_id) = &session.store_upload_id else { return Ok(InStore::Nothing) };
        let plan = plan_of(session)?;
        let listed = match self.store.list_parts(session.blob_id, upload_id).await {
            Err(error) if error.is_failure_of_store() && u64::from(plan.parts()) < MAX_PARTS => {
                // The upload may just have no parts yet.
                let listed = self.store.list_parts_after_probe(session.blob_id, upload_id, plan.parts()).await;
                listed.map_err(|_| error)
            }
            listed => listed,
        };
        let there = match listed? {
            Some(mut parts) => {
                parts.retain(|part| part.index < plan.parts());
                InStore::Open { upload_id: upload_id.clone(), parts }
            }
            None => InStore::Nothing,
        };
        let may_be_complete = match &there {
            InStore::Open { .. } => session.complete_hash.is_some() && !there.parts(&plan).1.is_empty(),
            InStore::Complete(_) | InStore::Nothing => true,
        };
        if may_be_complete && let Some(object) = self.find_object(session).await? {
            return Ok(InStore::Complete(object));
        }
        Ok(there)
    }

    /// The session's object, if the store has made it.
    pub(super) async fn find_object(&self, session: &Session) -> Result<Option<StoredBlob>, UploadError> {
        let found = self.store.find_blob(session.blob_id).await?;
        Ok(found.filter(|found| found.size_bytes == session.size_bytes))
    }

    /// How far the session is.
    pub(super) async fn session_state(&self, session: Session) -> Result<SessionState, UploadError> {
        let plan = plan_of(&session)?;
        let there = self.look(&session).await?;
        let (uploaded, missing) = there.parts(&plan);
        let etags = Some(there.etags(&uploaded));
        let expires_at = session.expires_at;
        Ok(SessionState::of_open(session, plan, expires_at, (uploaded, missing), etags))
    }

    /// Extends the session's life, and signs URLs of parts. An upload that is gone is replaced by a new one, of which all parts are
    /// missing.
    pub(super) async fn resign_session(
        &self,
        mut session: Session,
        wanted: Option<Vec<u32>>,
        ttl_seconds: u64,
    ) -> Result<Resigned, UploadError> {
        let (id, plan) = (session.id, plan_of(&session)?);
        let now = Timestamp::now();
        if session.expires_at <= now {
            return Err(UploadError::SessionExpired(id));
        }
        let there = self.look(&session).await?;
        let mut parts = choose(wanted, || there.parts(&plan).1, &plan)?;
        match there {
            InStore::Open { .. } => {}
            InStore::Nothing => session = self.replace_upload(session).await?,
            // No part can be sent any more; completing again publishes the object.
            InStore::Complete(_) => parts.clear(),
        }
        let expires_at = now.plus_seconds(ttl_seconds);
        self.records.extend(id, expires_at, ttl_seconds).await?;
        let urls = self.sign_parts(&session, parts.clone(), expires_at).await?;
        Ok(Resigned { session_id: id, plan, parts, expires_at, store_urls: Some(urls) })
    }

    /// URLs of these parts that expire at `expires_at`. Signed on a blocking thread, because 10,000 take long.
    pub(super) async fn sign_parts(
        &self,
        session: &Session,
        parts: Vec<u32>,
        expires_at: Timestamp,
    ) -> Result<Vec<String>, UploadError> {
        let Some(upload_id) = session.store_upload_id.clone() else { return Ok(Vec::new()) };
        let (store, blob_id, plan) = (Arc::clone(&self.store), session.blob_id, plan_of(session)?);
        let parts: Vec<_> =
            parts.into_iter().filter_map(|index| plan.part_len(index).map(|length| (index, length))).collect();
        let seconds = expires_at.unix_seconds() - Timestamp::now().unix_seconds();
        let seconds = u64::try_from(seconds).unwrap_or(0).max(1);
        blocking(move || store.presign_parts(blob_id, &upload_id, &parts, seconds)).await
    }
}
