//! The right to end a session, of one node at a time. It runs out by itself when its node dies.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

use super::{S3Uploads, UploadError};
use crate::db::sessions::{self, Claim, Session};
use crate::db::{Db, DbError, Durability};
use crate::input::EtagsHash;

/// How long a claim is good. A node that died holds others up for this long at most.
const CLAIM_SECONDS: u64 = 30;
/// Renewed this often: a database that is away for some seconds does not cost the claim.
const RENEWAL: Duration = Duration::from_secs(8);
/// How long a request waits for another one that has the claim.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// What became of wanting to end a session.
pub(super) enum Claimed {
    /// Nobody else ends it until the guard is released.
    Taken(Box<Session>, ClaimGuard),
    /// It has ended.
    Ended(Box<Session>),
}

/// Keeps the claim while it lives. Dropped without [`release`](Self::release), the claim runs out.
pub(super) struct ClaimGuard {
    db: Db,
    session_id: Uuid,
    claimant: Uuid,
    renewing: JoinHandle<()>,
}

impl S3Uploads {
    /// Claims the session. Waits for whoever has it, for as long as a request may wait.
    ///
    /// # Errors
    /// [`UploadError::Ending`] when somebody has it for longer.
    pub(super) async fn claim(&self, id: Uuid, patience: Patience) -> Result<Claimed, UploadError> {
        self.claim_for(id, patience, None).await
    }

    /// The same to complete the session. Its row says so before the store hears of it: whoever finds the session after this
    /// process ended knows that there may be an object, and by which hash it is judged.
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
                // The digest stays known until the object is made of other parts.
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
                // It may have been taken all the same: the answer of its commit was lost.
                release_later(self.records.db.clone(), id, claimant);
            });
            match claimed? {
                Claim::Taken(session) => {
                    let guard = ClaimGuard::new(self.records.db.clone(), id, claimant);
                    return Ok(Claimed::Taken(session, guard));
                }
                Claim::Ended(session) => return Ok(Claimed::Ended(session)),
                Claim::Nothing => return Err(UploadError::SessionNotFound(id.to_string())),
                Claim::Busy if patience == Patience::None || began.elapsed() > PATIENCE => {
                    return Err(UploadError::Ending(id));
                }
                Claim::Busy => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

/// Whether to wait for a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// As long as a client waits for an answer.
    Request,
    /// The next round will do.
    None,
}

impl ClaimGuard {
    fn new(db: Db, session_id: Uuid, claimant: Uuid) -> Self {
        let renewed = db.clone();
        let renewing = tokio::spawn(async move {
            loop {
                tokio::time::sleep(RENEWAL).await;
                let renewal = renewed.write_to_free(Durability::Process, move |tx| {
                    sessions::renew(tx, session_id, claimant, CLAIM_SECONDS)
                });
                match renewal.await {
                    Ok(true) => {}
                    // It ran out, or the session has ended: nobody is held up any more.
                    Ok(false) => return,
                    Err(error) => {
                        tracing::warn!(%session_id, error = %crate::error_chain::error_chain(&error), "a claim could not be renewed");
                    }
                }
            }
        });
        Self { db, session_id, claimant, renewing }
    }

    /// The name of the claim.
    pub(super) fn claimant(&self) -> Uuid {
        self.claimant
    }

    /// Lets others have the session at once; while the database is away, as soon as it is back.
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
            tokio::time::sleep(PAUSE).await;
            if release(&db, session_id, claimant).await.is_ok() {
                return;
            }
        }
        tracing::warn!(%session_id, "a claim could not be released; it has run out");
    });
}

impl Drop for ClaimGuard {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}
