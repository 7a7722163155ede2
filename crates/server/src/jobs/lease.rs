//! Leases: some work is done by one node at a time.

use std::sync::Arc;

use tokio::sync::Mutex;
use uuid::Uuid;

use crate::db::{Db, DbError, Durability, leases};

/// Duration of a lease. Another node may take over work that takes longer, which must do no harm.
const LEASE_SECONDS: u64 = 30;

/// A lease in the database. It is always held where no other node can share the database.
pub(crate) struct Lease {
    name: &'static str,
    node: Uuid,
    db: Db,
    /// Held during a request to the database. Without it, a request whose caller was cancelled could take the lease after it
    /// was given up, and no node would have it until it expires.
    asking: Arc<Mutex<()>>,
}

impl Lease {
    /// The lease of the work `name` for `node`, not held yet.
    pub(crate) fn new(name: &'static str, node: Uuid, db: Db) -> Self {
        Self { name, node, db, asking: Arc::default() }
    }

    /// Takes or renews the lease. False when another node has it.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn take(&self) -> Result<bool, DbError> {
        if !self.db.is_shared() {
            return Ok(true);
        }
        let (db, name, node) = (self.db.clone(), self.name, self.node);
        let asking = Arc::clone(&self.asking).lock_owned().await;
        let asked = tokio::spawn(async move {
            let taken = db.write(Durability::Process, move |tx| leases::take(tx, name, node, LEASE_SECONDS)).await;
            drop(asking);
            taken
        });
        asked.await.unwrap_or_else(|error| Err(if error.is_panic() { DbError::Panicked } else { DbError::Stopped }))
    }

    /// Releases the lease. If that fails, it expires.
    pub(crate) async fn give_up(&self) {
        if self.db.is_shared() {
            let _asking = self.asking.lock().await;
            let (name, node) = (self.name, self.node);
            let _ = self.db.write(Durability::Process, move |tx| leases::give_up(tx, name, node)).await;
        }
    }
}
