//! The records, and room on a full disk for those without which nothing can be freed.

use std::sync::Arc;

use crate::db::sessions::Session;
use crate::db::{Db, DbError, Durability, Tx};
use crate::service::event::Events;
use crate::storage::DatabaseReserve;

/// The database, as all uploads use it. Clones share it.
#[derive(Clone)]
pub(super) struct Records {
    pub(super) db: Db,
    /// Where the database is a file: room on its disk.
    pub(super) reserve: Option<Arc<DatabaseReserve>>,
    /// How long a bucket keeps what was replaced, in seconds.
    pub(super) grace_seconds: u64,
    /// Tells what happens.
    pub(super) events: Events,
}

impl Records {
    /// A write that frees something. On a full disk it gets the room that is kept for that.
    pub(super) async fn write_to_free<T: Send + 'static>(
        &self,
        durability: Durability,
        query: impl Fn(&Tx<'_>) -> Result<T, DbError> + Clone + Send + 'static,
    ) -> Result<T, DbError> {
        match self.db.write(durability, query.clone()).await {
            Err(DbError::Full(error)) if self.give_up_reserve().await => {
                tracing::warn!(%error, "the disk is full; used the room kept for the database");
                self.db.write(durability, query).await
            }
            outcome => outcome,
        }
    }

    async fn give_up_reserve(&self) -> bool {
        let Some(reserve) = self.reserve.clone() else { return false };
        let given_up = tokio::task::spawn_blocking(move || reserve.give_up()).await;
        given_up.is_ok_and(|given_up| given_up.unwrap_or(false))
    }

    /// The session, whatever has become of it.
    pub(super) async fn find(&self, id: uuid::Uuid) -> Result<Option<Session>, DbError> {
        self.db.read(move |tx| crate::db::sessions::find(tx, id)).await
    }
}
