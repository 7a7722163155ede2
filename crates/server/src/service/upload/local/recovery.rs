//! Opening a session that the database has, after a restart or after it was idle.
//!
//! Invariant: parts that were recorded in another storage epoch, perhaps before a power cut, are read and compared with their records before
//! they are trusted.

use std::sync::Arc;

use partway_api::PartPlan;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::keyed_locks::KeyedLocks;
use super::live::LiveSession;
use super::{LocalUploads, UploadError, blocking, plan_of};
use crate::db::DbError;
use crate::db::sessions::{self, Session, Status};
use crate::db::{Db, Durability, api_keys, parts};
use crate::failpoint;
use crate::storage::{Blob, LocalStore, StorageError, part_is_intact};
use crate::turn::turn;

/// Sessions verified at once: one that a request waits for, and one in the background.
const MAX_VERIFICATIONS: usize = 2;
/// Sessions listed at a time for verification.
const VERIFY_BATCH: u32 = 100;

/// Opens sessions.
pub(super) struct Opener {
    db: Db,
    store: Arc<LocalStore>,
    /// The storage epoch: parts that were received in it are trusted.
    storage_epoch: Arc<str>,
    verifications: Semaphore,
    /// Held to read a session's row and make its blob, and to end it: a blob is never made for a session that has ended, because
    /// nothing would free it.
    pub(super) lifecycles: KeyedLocks<Uuid>,
}

/// A recorded part: its index and its subtrees.
type Recorded = (u32, Vec<u8>);

/// A session whose blob is open.
struct Opened {
    session: Session,
    plan: PartPlan,
    blob: Blob,
    recorded: Vec<Recorded>,
    is_trusted: bool,
    /// Whether the blob's space is allocated part by part.
    blob_is_late: bool,
}

impl Opener {
    pub(super) fn new(db: Db, store: Arc<LocalStore>, storage_epoch: Arc<str>) -> Self {
        Self {
            db,
            store,
            storage_epoch,
            verifications: Semaphore::new(MAX_VERIFICATIONS),
            lifecycles: KeyedLocks::default(),
        }
    }

    /// Opens a session that takes parts.
    pub(super) async fn open(&self, id: Uuid) -> Result<Arc<LiveSession>, NotOpened> {
        let opened = self.open_blob(id).await?;
        let opened = if opened.is_trusted { opened } else { self.verify(opened).await? };
        let Opened { session, plan, blob, recorded, blob_is_late, .. } = opened;
        Ok(Arc::new(LiveSession::with_parts(session, plan, blob, blob_is_late, recorded)))
    }

    async fn open_blob(&self, id: Uuid) -> Result<Opened, NotOpened> {
        let _lifecycle = self.lifecycles.lock(id).await;
        let found = self.db.read(move |tx| match sessions::find(tx, id)? {
            Some(session) if session.status == Status::Uploading => {
                let parts = parts::list(tx, id)?;
                let key = api_keys::find(tx, session.api_key_id)?;
                Ok(Some((session, parts, key.is_none_or(|key| key.is_public()))))
            }
            other => Ok(other.map(|session| (session, Vec::new(), false))),
        });
        let (session, recorded, blob_is_late) = found.await?.ok_or(NotOpened::Nothing)?;
        if session.status != Status::Uploading {
            return Err(NotOpened::Ended(Box::new(session)));
        }
        let plan = plan_of(&session).map_err(NotOpened::Failed)?;
        let (store, blob_id) = (Arc::clone(&self.store), session.blob_id);
        // The blob may be missing: the process ended between row and blob, or a power cut took even its directory entry.
        let opened = blocking(move || match blob_is_late {
            true => store.open_without_room(blob_id),
            false => store.open_or_create(blob_id, plan.size_bytes()),
        })
        .await;
        let (blob, is_new) = opened.map_err(NotOpened::Failed)?;
        let is_trusted = session.verified_in_epoch == *self.storage_epoch && (recorded.is_empty() || !is_new);
        Ok(Opened { session, plan, blob, recorded, is_trusted, blob_is_late })
    }

    /// Verifies the parts; those that differ from their records are missing again. Takes as long as reading them all.
    async fn verify(&self, opened: Opened) -> Result<Opened, NotOpened> {
        let Opened { session, plan, blob, recorded, blob_is_late, .. } = opened;
        let permit = self.verifications.acquire().await;
        let _permit = permit.map_err(|_| NotOpened::Failed(StorageError::Stopped.into()))?;
        let session_id = session.id;
        let verified = blocking(move || Ok(verify(session_id, blob, plan, recorded))).await;
        let Verified { blob, intact, damaged } = verified.map_err(NotOpened::Failed)?;
        if damaged.is_empty() {
            tracing::info!(%session_id, intact = intact.len(), "verified the parts of a session");
        } else {
            tracing::warn!(%session_id, intact = intact.len(), ?damaged, "parts of a session are damaged, and missing again");
        }
        failpoint::hit("verify.before_commit");
        let storage_epoch = Arc::clone(&self.storage_epoch);
        let noted = self.db.write_to_free(Durability::Process, move |tx| {
            let now = sessions::find_locked(tx, session_id)?;
            if now.as_ref().is_some_and(|now| now.status == Status::Uploading) {
                damaged.iter().try_for_each(|index| parts::delete(tx, session_id, *index))?;
                sessions::set_verified_in_epoch(tx, session_id, &storage_epoch)?;
            }
            Ok(now)
        });
        // It may have been ended or extended meanwhile.
        match noted.await? {
            None => Err(NotOpened::Nothing),
            Some(now) if now.status != Status::Uploading => Err(NotOpened::Ended(Box::new(now))),
            Some(now) => Ok(Opened { session: now, plan, blob, recorded: intact, is_trusted: true, blob_is_late }),
        }
    }
}

struct Verified {
    blob: Blob,
    intact: Vec<Recorded>,
    damaged: Vec<u32>,
}

fn verify(session_id: Uuid, blob: Blob, plan: PartPlan, recorded: Vec<Recorded>) -> Verified {
    let mut verified = Verified { blob, intact: Vec::with_capacity(recorded.len()), damaged: Vec::new() };
    for (index, subtrees) in recorded {
        let intact = plan.range(index).map(|part| part_is_intact(&verified.blob, &part, plan.size_bytes(), &subtrees));
        match intact {
            Some(Ok(true)) => verified.intact.push((index, subtrees)),
            Some(Err(error)) => {
                // A part that cannot be read is missing, like one that is wrong: it can be sent again.
                tracing::warn!(%session_id, index, error = %crate::error_chain::error_chain(&error), "a part cannot be read");
                verified.damaged.push(index);
            }
            Some(Ok(false)) | None => verified.damaged.push(index),
        }
    }
    verified
}

impl LocalUploads {
    /// Verifies all sessions that need it, one after the other, until `stop`. One that cannot be verified is logged; the next request
    /// for it tries again.
    ///
    /// # Errors
    /// When the sessions cannot be listed.
    pub(super) async fn verify_sessions(&self, stop: &CancellationToken) -> Result<(), UploadError> {
        let mut last = Uuid::nil();
        loop {
            let storage_epoch = Arc::clone(&self.storage_epoch);
            let found = self
                .records
                .db
                .read(move |tx| sessions::list_unverified(tx, &storage_epoch, last, VERIFY_BATCH))
                .await?;
            let Some(next) = found.last().copied() else { return Ok(()) };
            last = next;
            for id in found {
                let opened = tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    opened = turn("job.verify", self.registry.open(id)) => opened,
                };
                if let Some(Err(error)) = opened {
                    tracing::error!(session_id = %id, error = %crate::error_chain::error_chain(&error), "a session cannot be verified");
                }
            }
        }
    }
}

/// Why a session is not open.
pub(super) enum NotOpened {
    /// It does not exist.
    Nothing,
    /// It has ended.
    Ended(Box<Session>),
    /// It could not be opened.
    Failed(UploadError),
}

impl From<DbError> for NotOpened {
    fn from(error: DbError) -> Self {
        Self::Failed(error.into())
    }
}
