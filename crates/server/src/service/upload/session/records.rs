//! The database and the limits that every upload needs.

use std::sync::Arc;

use uuid::Uuid;

use crate::db::sessions::Session;
use crate::db::{Db, DbError, Timestamp, Tx, parts};
use crate::metrics::UploadMetrics;
use crate::model::PublicLimits;
use crate::service::blob_retention::GracePolicy;
use crate::service::event::Events;

/// The database as all uploads use it. Clones share it.
#[derive(Clone)]
pub(in crate::service::upload) struct Records {
    pub(in crate::service::upload) db: Db,
    /// How long the blobs of replaced files are kept.
    pub(in crate::service::upload) grace: GracePolicy,
    /// Upper bound of a workspace's bytes, where the workspace has none of its own.
    pub(in crate::service::upload) storage_limit: Option<u64>,
    /// Writes events to the outbox.
    pub(in crate::service::upload) events: Events,
    /// Limits of public keys.
    pub(in crate::service::upload) public: PublicLimits,
    /// Oldest age to which parts renew a session of a private key, in seconds.
    pub(in crate::service::upload) session_age_seconds: u64,
    /// Counts them.
    pub(in crate::service::upload) metrics: Arc<UploadMetrics>,
}

impl Records {
    /// The session in any state; `None` when there is none.
    pub(in crate::service::upload) async fn find(&self, id: Uuid) -> Result<Option<Session>, DbError> {
        self.db.read(move |tx| crate::db::sessions::find(tx, id)).await
    }

    /// Latest end to which parts renew the session.
    pub(in crate::service::upload) fn latest_end(&self, session: &Session, is_public: bool) -> Timestamp {
        let age_seconds = if is_public { self.public.session_age_seconds } else { self.session_age_seconds };
        session.created_at.plus_seconds(age_seconds)
    }
}

/// Where it is recorded which parts of a session are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::service::upload) enum PartRecords {
    /// In the table `parts`, which is emptied in the background after the session has ended.
    Database,
    /// At the store, which lists the parts of its multipart upload.
    Store,
}

impl PartRecords {
    /// Schedules the deletion of the session's part records, in the transaction that ends the session.
    pub(in crate::service::upload) fn forget_later(self, tx: &Tx<'_>, session_id: Uuid) -> Result<(), DbError> {
        match self {
            Self::Database => parts::forget_later(tx, session_id),
            Self::Store => Ok(()),
        }
    }
}
