//! The claim to end a session: a lease that one node at a time has. It expires by itself when its node dies.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

use super::{S3Uploads, UploadError};
use crate::db::sessions::{self, Claim, Session};
use crate::db::{Db, DbError, Durability};
use crate::input::EtagsHash;

/// How long a claim lasts. A node that died delays others at most this long.
const CLAIM_SECONDS: u64 = 30;
/// Often enough that a database that is away for some seconds does not cost the claim.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(8);
/// How long a request waits for another one that has the claim.
const CLAIM_WAIT: Duration = Duration::from_secs(10);
/// Interval between two attempts to take or release a claim.
const CLAIM_RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// The outcome of claiming a session.
pub(super) enum Claimed {
    /// No other request ends it until the guard is released.
    Taken(Box<Session>, ClaimGuard),
    /// It has ended.
    Ended(Box<Session>),
}

/// Renews the claim while it lives. Dropped without [`release`](Self::release), the claim expires.
pub(super) struct ClaimGuard {
    db: Db,
    session_id: Uuid,
    claimant: Uuid,
    renewing: JoinHandle<()>,
}

impl S3Uploads {
    /// Claims the session; waits for another claim of it as long as `patience` says.
    ///
    /// # Errors
    /// [`UploadError::Ending`] when the other claim lasts longer.
    pub(super) async fn claim(&self, id: Uuid, patience: Patience) -> Result<Claimed, UploadError> {
        self.claim_for(id, patience, None).await
    }

    /// Claims the session to complete it. Its row says so before the store is asked. If this process ends, the next node therefore knows
    /// that the store may have an object, and which hash the object must have.
    pub(super) async fn claim_to_complete(&self, id: Uuid, hash: Option<&str>) -> Result<Claimed, UploadError> {
        self.claim_for(id, Patience::Request, Some(hash.unwrap_or_default().to_owned())).await
    }

    async fn claim_for(
        &self,
        id: Uuid,
        patience: Patience,
        complete_hash: Option<String>,
    ) -> Result<Claimed, UploadError> {
        let claimant = Uuid::new_v4();
        let began = Instant::now();
        loop {
            let complete_hash = complete_hash.clone();
            let claim = self.records.db.write_to_free(Durability::Process, move |tx| {
                let mut claim = sessions::claim(tx, id, claimant, CLAIM_SECONDS)?;
                // A request without a hash keeps the one that was noted: the object is still made of the same parts.
                let is_kept = |session: &Session| session.complete_hash.as_deref().is_some_and(EtagsHash::is_note);
                if let (Claim::Taken(session), Some(hash)) = (&mut claim, &complete_hash)
                    && !(hash.is_empty() && is_kept(session))
                {
                    sessions::note_complete(tx, id, hash)?;
                    session.complete_hash = Some(hash.clone());
                }
                Ok(claim)
            });
            let claimed = claim.await.inspect_err(|_| {
                // It may have been taken all the same, if the answer of its commit was lost.
                release_later(self.records.db.clone(), id, claimant);
            });
            match claimed? {
                Claim::Taken(session) => {
                    let guard = ClaimGuard::new(self.records.db.clone(), id, claimant);
                    return Ok(Claimed::Taken(session, guard));
                }
                Claim::Ended(session) => return Ok(Claimed::Ended(session)),
                Claim::Nothing => return Err(UploadError::SessionNotFound(id.to_string())),
                Claim::Busy if patience == Patience::None || began.elapsed() > CLAIM_WAIT => {
                    return Err(UploadError::Ending(id));
                }
                Claim::Busy => tokio::time::sleep(CLAIM_RETRY_INTERVAL).await,
            }
        }
    }
}

/// Whether to wait for a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// At most [`CLAIM_WAIT`]: a client waits for the answer.
    Request,
    /// Not at all: the next run of a job will do.
    None,
}

impl ClaimGuard {
    fn new(db: Db, session_id: Uuid, claimant: Uuid) -> Self {
        let renewed = db.clone();
        let renewing = tokio::spawn(async move {
            loop {
                tokio::time::sleep(RENEWAL_INTERVAL).await;
                let renewal = renewed.write_to_free(Durability::Process, move |tx| {
                    sessions::renew(tx, session_id, claimant, CLAIM_SECONDS)
                });
                match renewal.await {
                    Ok(true) => {}
                    // It expired, or the session has ended: no other request is delayed any more.
                    Ok(false) => return,
                    Err(error) => {
                        tracing::warn!(%session_id, error = %crate::error_chain::error_chain(&error), "a claim could not be renewed");
                    }
                }
            }
        });
        Self { db, session_id, claimant, renewing }
    }

    /// The id under which the claim is recorded.
    pub(super) fn claimant(&self) -> Uuid {
        self.claimant
    }

    /// Ends the claim at once; while the database is away, as soon as it is back.
    pub(super) async fn release(self) {
        let (session_id, claimant) = (self.session_id, self.claimant);
        if release(&self.db, session_id, claimant).await.is_err() {
            release_later(self.db.clone(), session_id, claimant);
        }
    }
}

async fn release(db: &Db, session_id: Uuid, claimant: Uuid) -> Result<(), DbError> {
    db.write_to_free(Durability::Process, move |tx| sessions::release(tx, session_id, claimant)).await
}

fn release_later(db: Db, session_id: Uuid, claimant: Uuid) {
    tokio::spawn(async move {
        let runs_out = Instant::now() + Duration::from_secs(CLAIM_SECONDS);
        while Instant::now() < runs_out {
            tokio::time::sleep(CLAIM_RETRY_INTERVAL).await;
            if release(&db, session_id, claimant).await.is_ok() {
                return;
            }
        }
        tracing::warn!(%session_id, "a claim could not be released; it has expired");
    });
}

impl Drop for ClaimGuard {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}
