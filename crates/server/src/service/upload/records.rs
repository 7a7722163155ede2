//! The records, as all uploads use them.

use crate::db::sessions::Session;
use crate::db::{Db, DbError};
use crate::model::PublicLimits;
use crate::service::event::Events;
use crate::service::grace::GracePolicy;

/// The database, as all uploads use it. Clones share it.
#[derive(Clone)]
pub(super) struct Records {
    pub(super) db: Db,
    /// How long the blobs of replaced files are kept.
    pub(super) grace: GracePolicy,
    /// Most bytes of a workspace that has no limit of its own.
    pub(super) storage_limit: Option<u64>,
    /// Tells what happens.
    pub(super) events: Events,
    /// Limits of public keys.
    pub(super) public: PublicLimits,
}

impl Records {
    /// The session, whatever has become of it.
    pub(super) async fn find(&self, id: uuid::Uuid) -> Result<Option<Session>, DbError> {
        self.db.read(move |tx| crate::db::sessions::find(tx, id)).await
    }
}
