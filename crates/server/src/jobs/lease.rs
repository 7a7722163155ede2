//! Work that one node of all does at a time.

use std::sync::Arc;

use tokio::sync::Mutex;
use uuid::Uuid;

use crate::db::{Db, DbError, Durability, leases};

/// How long a lease is good. Work that takes longer is taken over in the middle, which must do no harm.
const SECONDS: u64 = 30;

/// A lease in the database. Where no other node can come there is nothing to hold.
pub struct Lease {
    name: &'static str,
    node: Uuid,
    db: Db,
    /// Held while the database is asked: what was asked for and is no longer waited for must not come after the lease was
    /// given up, for then nobody would have it until it runs out.
    asking: Arc<Mutex<()>>,
}

impl Lease {
    /// Of the work `name`, for `node`; not held yet.
    pub fn new(name: &'static str, node: Uuid, db: Db) -> Self {
        Self { name, node, db, asking: Arc::default() }
    }

    /// Takes or renews it. False when another node has it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take(&self) -> Result<bool, DbError> {
        if !self.db.is_shared() {
            return Ok(true);
        }
        let (db, name, node) = (self.db.clone(), self.name, self.node);
        let asking = Arc::clone(&self.asking).lock_owned().await;
        let asked = tokio::spawn(async move {
            let taken = db.write(Durability::Process, move |tx| leases::take(tx, name, node, SECONDS)).await;
            drop(asking);
            taken
        });
        asked.await.unwrap_or_else(|error| Err(if error.is_panic() { DbError::Panicked } else { DbError::Stopped }))
    }

    /// Lets another node have it now. If that fails it runs out.
    pub async fn give_up(&self) {
        if self.db.is_shared() {
            let _asking = self.asking.lock().await;
            let (name, node) = (self.name, self.node);
            let _ = self.db.write(Durability::Process, move |tx| leases::give_up(tx, name, node)).await;
        }
    }
}
