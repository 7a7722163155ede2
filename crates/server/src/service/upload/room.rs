//! Room on a full disk for the records without which nothing can be freed.

use std::sync::Arc;

use super::Uploads;
use crate::db::{DbError, Durability, Tx};

impl Uploads {
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
        let reserve = Arc::clone(&self.reserve);
        let given_up = tokio::task::spawn_blocking(move || reserve.give_up()).await;
        given_up.is_ok_and(|given_up| given_up.unwrap_or(false))
    }
}
