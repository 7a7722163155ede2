//! Completing a session whose parts the store has: the store makes the object, then the file becomes visible. Cut off
//! anywhere in between, completing again goes on from there.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use uuid::Uuid;

use super::super::complete::{Published, check_hash, completed_file, draft, file_type};
use super::claim::{Claimed, Patience};
use super::parts::InStore;
use super::{S3Uploads, UploadError, plan_of};
use crate::db::files::File;
use crate::db::sessions::{self, Session, Status};
use crate::db::{Durability, Timestamp, garbage};
use crate::failpoint;
use crate::input::FileHash;
use crate::media;
use crate::storage::{BlobStore, ObjectReader, StorageError, StoredBlob};

/// How often the parts are listed and completed: they change when one is sent again in the very moment.
const ROUNDS: u32 = 3;

impl S3Uploads {
    /// Completes the session, or tells what another request made of it.
    pub(in super::super) async fn complete(&self, id: Uuid, hash: Option<FileHash>) -> Result<File, UploadError> {
        match self.claim(id, Patience::Request).await? {
            Claimed::Ended(session) => completed_file(*session, hash.as_ref()),
            Claimed::Taken(session, guard) => {
                let completed = self.complete_claimed(*session, guard.claimant(), hash).await;
                guard.release().await;
                if completed.is_ok() {
                    self.garbage_bell.notify_one();
                }
                completed
            }
        }
    }

    async fn complete_claimed(
        &self,
        session: Session,
        claimant: Uuid,
        hash: Option<FileHash>,
    ) -> Result<File, UploadError> {
        if session.expires_at <= Timestamp::now() {
            return Err(UploadError::SessionExpired(session.id));
        }
        failpoint::pass("complete.before_store");
        let object = self.assemble(&session).await?;
        failpoint::pass("complete.after_store");
        let received = object.crc64nvme.as_ref().map(|sum| format!("crc64nvme:{sum}"));
        let compared = check_hash(session.declared_hash.as_deref(), received.as_deref())
            .and_then(|()| check_hash(hash.as_ref().map(FileHash::as_str), received.as_deref()));
        if let Err(mismatch) = compared {
            self.start_over(session, claimant).await?;
            return Err(mismatch);
        }
        let file_type = file_type(&session, &self.head(session.blob_id, session.size_bytes).await);
        let dimensions = self.dimensions(session.blob_id, session.size_bytes, &file_type.mime_type).await;
        let mut draft = draft(&session, file_type, received, dimensions);
        draft.entity_tag = object.entity_tag;
        failpoint::pass("complete.before_commit");
        let published = self.records.publish(session.id, draft).await?;
        failpoint::pass("complete.after_commit");
        match published {
            Published::Now(file) => Ok(*file),
            Published::Changed => Err(UploadError::Ending(session.id)),
            Published::Ended(ended) => {
                if ended.status != Status::Completed {
                    self.discard(&ended).await?;
                }
                completed_file(*ended, hash.as_ref())
            }
        }
    }

    /// Has the store make the object, if it has not.
    async fn assemble(&self, session: &Session) -> Result<StoredBlob, UploadError> {
        let plan = plan_of(session)?;
        for round in 1..=ROUNDS {
            let there = self.look(session).await?;
            let (_, missing) = there.parts(&plan);
            let (upload_id, parts) = match there {
                InStore::Whole(object) => return Ok(object),
                InStore::Open { upload_id, parts } if missing.is_empty() => (upload_id, parts),
                // Without an upload they all are.
                InStore::Open { .. } | InStore::Nothing => {
                    return Err(UploadError::PartsMissing { missing, total: plan.parts() });
                }
            };
            match self.store.complete_upload(session.blob_id, &upload_id, &parts).await {
                Ok(_) => {
                    // Whether this call did it or an earlier one: the object tells.
                    let object = self.store.find_blob(session.blob_id).await?;
                    if let Some(object) = object.filter(|object| object.size_bytes == session.size_bytes) {
                        return Ok(object);
                    }
                }
                Err(error) if error.is_code("InvalidPart") && round < ROUNDS => {}
                Err(error) if error.is_code("InvalidPart") => {
                    let refused = self.store.find_refused_part(session.blob_id, &upload_id, &parts).await?;
                    let missing = refused.into_iter().collect::<Vec<_>>();
                    if !missing.is_empty() {
                        return Err(UploadError::PartsMissing { missing, total: plan.parts() });
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(StorageError::Store { doing: "complete an upload in", problem: "the parts keep changing".to_owned() }
            .into())
    }

    /// The object is not what its client means: the session begins anew with another blob, and all parts are missing. The
    /// old one is garbage: somebody whose claim ran out unnoticed changes nothing.
    async fn start_over(&self, session: Session, claimant: Uuid) -> Result<(), UploadError> {
        let (id, blob_id) = (session.id, Uuid::now_v7());
        let dead = garbage::NewGarbage {
            blob: session.blob(),
            workspace_id: Some(session.workspace_id),
            reason: garbage::Reason::Aborted,
            size_bytes: session.size_bytes,
            keep_seconds: 0,
        };
        let replaced = self.records.db.write_to_free(Durability::PowerLoss, move |tx| {
            let is_ours = sessions::replace_blob(tx, id, claimant, blob_id)?;
            if is_ours {
                garbage::insert(tx, &dead)?;
            }
            Ok(is_ours)
        });
        if !replaced.await? {
            return Err(UploadError::Ending(id));
        }
        self.garbage_bell.notify_one();
        self.replace_upload(Session { blob_id, store_upload_id: None, ..session }).await.map(drop)
    }

    /// The session was ended while the store was making its object: the cleaner may have been there before it.
    async fn discard(&self, session: &Session) -> Result<(), UploadError> {
        Ok(self.store.delete_blob(session.blob_id).await?)
    }

    /// How the object begins. Nothing when the store does not say: the file is then what was declared.
    async fn head(&self, blob_id: Uuid, size_bytes: u64) -> Vec<u8> {
        let bytes = 0..size_bytes.min(media::HEAD_BYTES as u64);
        let read = async {
            let stream = self.store.read_blob(blob_id, bytes).await?;
            let add = |mut head: Vec<u8>, bytes: Bytes| {
                head.extend_from_slice(&bytes);
                std::future::ready(Ok::<_, StorageError>(head))
            };
            stream.try_fold(Vec::new(), add).await
        };
        read.await.unwrap_or_default()
    }

    /// Width and height, from the header of an image or a video.
    pub(in super::super) async fn dimensions(
        &self,
        blob_id: Uuid,
        size_bytes: u64,
        mime_type: &str,
    ) -> Option<(u32, u32)> {
        if !media::has_dimensions(mime_type) {
            return None;
        }
        let (store, mime_type) = (Arc::clone(&self.store), mime_type.to_owned());
        let runtime = tokio::runtime::Handle::current();
        let read = tokio::task::spawn_blocking(move || {
            media::dimensions(&mime_type, || Some(ObjectReader::new(store, blob_id, size_bytes, runtime)))
        });
        read.await.ok().flatten()
    }
}
