//! Opening a session that the database has: after a restart, or after it rested. Parts that were recorded in another
//! boot of the machine, perhaps before a power cut, are read and compared with their records before they are trusted.

use std::sync::Arc;

use partway_api::PartPlan;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::live::LiveSession;
use super::registry::NotOpened;
use super::{UploadError, Uploads, blocking, plan_of};
use crate::boot::boot_id;
use crate::db::sessions::{self, Session, Status};
use crate::db::{Db, Durability, parts};
use crate::failpoint;
use crate::storage::{Blob, LocalStore, StorageError, part_is_intact};

/// Sessions verified at once: one that somebody waits for, beside one in the background.
const VERIFICATIONS: usize = 2;
/// Sessions looked up at once for verification.
const ROUND: u32 = 100;

/// What opening sessions takes.
pub(super) struct Opener {
    db: Db,
    store: Arc<LocalStore>,
    verifications: Semaphore,
}

/// A recorded part: its index and its subtrees.
type Recorded = (u32, Vec<u8>);

impl Opener {
    pub(super) fn new(db: Db, store: Arc<LocalStore>) -> Self {
        Self { db, store, verifications: Semaphore::new(VERIFICATIONS) }
    }

    /// Opens a session that takes parts.
    pub(super) async fn open(&self, id: Uuid) -> Result<Arc<LiveSession>, NotOpened> {
        let found = self.db.read(move |tx| match sessions::find(tx, id)? {
            Some(session) if session.status == Status::Uploading => {
                let parts = parts::list(tx, id)?;
                Ok(Some((session, parts)))
            }
            other => Ok(other.map(|session| (session, Vec::new()))),
        });
        let (session, recorded) = found.await?.ok_or(NotOpened::Nothing)?;
        if session.status != Status::Uploading {
            return Err(NotOpened::Ended(Box::new(session)));
        }
        let plan = plan_of(&session).map_err(NotOpened::Failed)?;
        if session.trusted_boot_id == boot_id() {
            let (store, blob_id) = (Arc::clone(&self.store), session.blob_id);
            match blocking(move || store.open_for_writing(blob_id, plan.size_bytes())).await {
                Ok(blob) => return Ok(Arc::new(LiveSession::with_parts(session, plan, blob, recorded))),
                // The process ended between the row and the blob, or somebody took the blob away.
                Err(UploadError::Storage(error)) if error.is_missing() => {}
                Err(error) => return Err(NotOpened::Failed(error)),
            }
        }
        self.open_verified(session, plan, recorded).await.map_err(NotOpened::Failed)
    }

    /// Parts that differ from their records are missing again.
    async fn open_verified(
        &self,
        session: Session,
        plan: PartPlan,
        recorded: Vec<Recorded>,
    ) -> Result<Arc<LiveSession>, UploadError> {
        let _permit = self.verifications.acquire().await.map_err(|_| StorageError::Stopped)?;
        let (store, blob_id, session_id) = (Arc::clone(&self.store), session.blob_id, session.id);
        let verified = blocking(move || {
            // Even its name may be gone; then it is made again, and no part of it is intact.
            let blob = store.open_or_create(blob_id, plan.size_bytes())?;
            Ok(verify(session_id, blob, plan, recorded))
        });
        let Verified { blob, intact, damaged } = verified.await?;
        if damaged.is_empty() {
            tracing::info!(%session_id, intact = intact.len(), "verified the parts of a session");
        } else {
            tracing::warn!(%session_id, intact = intact.len(), ?damaged, "parts of a session are damaged, and missing again");
        }
        failpoint::pass("verify.before_commit");
        let noted = self.db.write(Durability::Process, move |tx| {
            damaged.iter().try_for_each(|index| parts::delete(tx, session_id, *index))?;
            sessions::set_trusted_boot(tx, session_id, boot_id())
        });
        noted.await?;
        Ok(Arc::new(LiveSession::with_parts(session, plan, blob, intact)))
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
                // A part that cannot be read is as good as one that is wrong: it can be sent again.
                tracing::warn!(%session_id, index, error = %crate::error::chain(&error), "a part cannot be read");
                verified.damaged.push(index);
            }
            Some(Ok(false)) | None => verified.damaged.push(index),
        }
    }
    verified
}

impl Uploads {
    /// Verifies all sessions that need it, one after the other, until `stop`. One that cannot be verified is logged;
    /// whoever uses it has it tried again.
    ///
    /// # Errors
    /// When the sessions cannot be listed.
    pub async fn verify_untrusted(&self, stop: &CancellationToken) -> Result<(), UploadError> {
        let mut last = Uuid::nil();
        loop {
            let found = self.db.read(move |tx| sessions::list_untrusted(tx, boot_id(), last, ROUND)).await?;
            let Some(next) = found.last().copied() else { return Ok(()) };
            last = next;
            for id in found {
                let opened = tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    opened = self.registry.open(id) => opened,
                };
                if let Err(error) = opened {
                    tracing::error!(session_id = %id, error = %crate::error::chain(&error), "a session cannot be verified");
                }
            }
        }
    }
}
