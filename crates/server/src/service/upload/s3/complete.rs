//! Completing a session whose parts the store has: the store makes the object, then a transaction publishes the file. Cut off anywhere in
//! between, completing again goes on from there.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use tokio::time::Instant;
use uuid::Uuid;

use super::claim::Claimed;
use super::parts::InStore;
use super::{PART_RECORDS, S3Uploads, UploadError, plan_of};
use crate::db::files::File;
use crate::db::sessions::{self, Session, Status};
use crate::db::{Durability, Timestamp, garbage};
use crate::failpoint;
use crate::input::EtagsHash;
use crate::media::{self, Pictures};
use crate::service::upload::session::{
    ExpectedHashes, Occasion, Published, check_hash, check_noted_etags, completed_file, draft, file_type,
};
use crate::storage::{BlobStore, COMPLETE_TIMEOUT, ObjectReader, StorageError, StoredBlob};

/// Attempts to list the parts and complete the upload: a part that is sent again in that moment changes them.
const MAX_ATTEMPTS: u32 = 3;

/// The hash that the store keeps of the object, in the form of the API.
fn hash_of(object: &StoredBlob) -> Option<String> {
    object.crc64nvme.as_ref().map(|sum| format!("crc64nvme:{sum}"))
}

/// Compares the object with the hashes that the client declared at the start and when it completed.
fn compare(session: &Session, object: &StoredBlob) -> Result<(), UploadError> {
    let received = hash_of(object);
    let at_complete = session.complete_hash.as_deref().filter(|hash| !hash.is_empty() && !EtagsHash::is_note(hash));
    [session.declared_hash.as_deref(), at_complete]
        .into_iter()
        .try_for_each(|declared| check_hash(declared, received.as_deref()))
}

impl S3Uploads {
    /// Completes the session, or answers how another request ended it.
    pub(super) async fn complete_session(&self, id: Uuid, expected: ExpectedHashes) -> Result<File, UploadError> {
        match self.claim_to_complete(id, expected.file_text()).await? {
            Claimed::Ended(session) => {
                check_noted_etags(&session, &expected)?;
                completed_file(*session, expected.file.as_ref())
            }
            Claimed::Taken(session, guard) => {
                let completed = self.complete_claimed(*session, guard.claimant(), &expected).await;
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
        expected: &ExpectedHashes,
    ) -> Result<File, UploadError> {
        // An object that exists already is published, now or when the session is expired.
        if session.expires_at <= Timestamp::now() && self.find_object(&session).await?.is_none() {
            return Err(UploadError::SessionExpired(session.id));
        }
        self.records.check_place(&session).await?;
        failpoint::hit("complete.before_store");
        let object = self.assemble(&session, claimant, expected).await?;
        failpoint::hit("complete.after_store");
        match compare(&session, &object) {
            Ok(()) => {}
            Err(mismatch @ UploadError::HashMismatch { .. }) => {
                self.start_over(session, claimant).await?;
                return Err(mismatch);
            }
            // The object may well be right: completing without the hash publishes it.
            Err(error) => return Err(error),
        }
        match self.publish_object(&session, Occasion::Complete, object).await? {
            Published::Now(file) => Ok(*file),
            Published::Changed | Published::Outdated => Err(UploadError::Ending(session.id)),
            Published::Ended(ended) => {
                if ended.status != Status::Completed {
                    self.discard(&ended).await?;
                }
                check_noted_etags(&ended, expected)?;
                completed_file(*ended, expected.file.as_ref())
            }
        }
    }

    /// Publishes the object that completing left when it was cut off, if there is one, it is what was asked for, it has room, and
    /// nothing was put at its path since the upload began. True when the session has ended. The caller has claimed it.
    ///
    /// The object alone shows that completing was asked for: nothing else makes one under a blob's id. After a power cut, or where an older
    /// version ran, the session's row may not show it, and the store may still list the upload as open.
    ///
    /// # Errors
    /// When store or database fail: whether there is an object is not known then.
    pub(super) async fn publish_left_object(&self, session: &Session) -> Result<bool, UploadError> {
        let Some(object) = self.find_object(session).await? else { return Ok(false) };
        if compare(session, &object).is_err() {
            return Ok(false);
        }
        match self.publish_object(session, Occasion::Expiry, object).await {
            Ok(published) => Ok(matches!(published, Published::Now(_) | Published::Ended(_))),
            Err(error @ (UploadError::Db(_) | UploadError::Storage(_))) => Err(error),
            // A rule forbids that it becomes a file.
            Err(error) => {
                tracing::info!(session_id = %session.id, %error, "an object that completing left is not published");
                Ok(false)
            }
        }
    }

    /// Makes the store's object the session's file, unless the session has ended.
    async fn publish_object(
        &self,
        session: &Session,
        occasion: Occasion,
        object: StoredBlob,
    ) -> Result<Published, UploadError> {
        let file_type = file_type(session, &self.head(session.blob_id, session.size_bytes).await);
        let pictures = self.read_pictures(session.blob_id, session.size_bytes, &file_type.mime_type).await;
        let mut draft = draft(session, file_type, hash_of(&object), pictures);
        draft.entity_tag = object.entity_tag;
        failpoint::hit("complete.before_commit");
        let published = self.records.publish(session, occasion, draft, PART_RECORDS).await?;
        failpoint::hit("complete.after_commit");
        Ok(published)
    }

    /// Has the store make the object, unless it exists. It is made of the parts whose ETags are expected: the request names the ETags that
    /// were compared, and the store accepts no others.
    async fn assemble(
        &self,
        session: &Session,
        claimant: Uuid,
        expected: &ExpectedHashes,
    ) -> Result<StoredBlob, UploadError> {
        let mut is_noted = false;
        let plan = plan_of(session)?;
        // One for all attempts: a store that stalls in each of them delays the client by no more than one.
        let deadline = Instant::now() + COMPLETE_TIMEOUT;
        for attempt in 1..=MAX_ATTEMPTS {
            let there = self.look(session).await?;
            let (_, missing) = there.parts(&plan);
            let (upload_id, parts) = match there {
                InStore::Complete(object) => {
                    if !is_noted {
                        check_noted_etags(session, expected)?;
                    }
                    return Ok(object);
                }
                InStore::Open { upload_id, parts } if missing.is_empty() => (upload_id, parts),
                // Without an upload they all are.
                InStore::Open { .. } | InStore::Nothing => {
                    return Err(UploadError::PartsMissing { missing, total: plan.parts() });
                }
            };
            if let Some(etags) = &expected.etags {
                if EtagsHash::of(parts.iter().map(|part| part.entity_tag.as_str())) != *etags {
                    return Err(UploadError::OtherParts(session.id));
                }
                if expected.file.is_none() && !is_noted {
                    self.note_complete(session.id, claimant, etags.note()).await?;
                    is_noted = true;
                }
            } else if session.complete_hash.as_deref().is_some_and(EtagsHash::is_note) {
                self.note_complete(session.id, claimant, String::new()).await?;
            }
            match self.store.complete_upload_by(session.blob_id, &upload_id, &parts, deadline).await {
                Ok(_) => {
                    // Made by this call or by an earlier one: only the object shows.
                    if let Some(object) = self.find_object(session).await? {
                        return Ok(object);
                    }
                }
                Err(error) if error.is_code("InvalidPart") && attempt < MAX_ATTEMPTS => {}
                Err(error) if error.is_code("InvalidPart") => {
                    let refused = self.store.find_refused_part(session.blob_id, &upload_id, &parts, deadline).await?;
                    let missing = refused.into_iter().collect::<Vec<_>>();
                    if !missing.is_empty() {
                        return Err(UploadError::PartsMissing { missing, total: plan.parts() });
                    }
                }
                // Some stores refuse to complete again what they have completed.
                Err(error) => match self.find_object(session).await {
                    Ok(Some(object)) => return Ok(object),
                    _ => return Err(error.into()),
                },
            }
        }
        Err(StorageError::Store { doing: "complete an upload in", problem: "the parts keep changing".to_owned() }
            .into())
    }

    /// Records by which hash the object is judged, before it exists.
    async fn note_complete(&self, id: Uuid, claimant: Uuid, note: String) -> Result<(), UploadError> {
        let noted = self
            .records
            .db
            .write_to_free(Durability::PowerLoss, move |tx| sessions::note_claimed_complete(tx, id, claimant, &note));
        if noted.await? { Ok(()) } else { Err(UploadError::Ending(id)) }
    }

    /// Restarts the session with another blob, because the object is not the file that its client expects: all parts are missing. The old
    /// blob is garbage. A request whose claim has expired unnoticed changes nothing.
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

    /// Deletes the object of a session that was ended while the store was making it: the cleaner may have run before it existed.
    async fn discard(&self, session: &Session) -> Result<(), UploadError> {
        Ok(self.store.delete_blob(session.blob_id).await?)
    }

    /// The first bytes of the object. Empty when the store does not deliver them; the file then has the declared type.
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

    /// Reads the pictures' sides from the header of an image or a video.
    pub(super) async fn read_pictures(&self, blob_id: Uuid, size_bytes: u64, mime_type: &str) -> Pictures {
        if !media::has_reader(mime_type) {
            return Pictures::Unknown;
        }
        let (store, mime_type) = (Arc::clone(&self.store), mime_type.to_owned());
        let runtime = tokio::runtime::Handle::current();
        let read = tokio::task::spawn_blocking(move || {
            media::pictures(&mime_type, || Some(ObjectReader::new(store, blob_id, size_bytes, runtime)))
        });
        read.await.unwrap_or(Pictures::Unknown)
    }
}
