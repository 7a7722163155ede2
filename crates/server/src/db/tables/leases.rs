//! Leases for work that one node does at a time. Its holder renews a lease. When that node dies the lease expires, and another node
//! takes it. Times are those of the database, so that the clocks of the nodes need not agree.

use uuid::Uuid;

use crate::db::sql::{DbError, Tx};

/// Takes or renews the lease for `seconds`. False when another node has it.
pub fn take(tx: &Tx<'_>, name: &str, holder: Uuid, seconds: u64) -> Result<bool, DbError> {
    let now = tx.now()?;
    let changed = tx.execute(
        "INSERT INTO leases (name, holder, expires_at) VALUES (?1, ?2, ?3) ON CONFLICT (name) DO UPDATE \
         SET holder = excluded.holder, expires_at = excluded.expires_at \
         WHERE leases.holder = excluded.holder OR leases.expires_at <= ?4",
        &[&name, &holder.to_string(), &now.plus_seconds(seconds), &now],
    )?;
    Ok(changed == 1)
}

/// Gives the lease of a holder that has ended, if it has it, to another.
pub fn hand_over(tx: &Tx<'_>, name: &str, from: Uuid, to: Uuid) -> Result<(), DbError> {
    tx.execute(
        "UPDATE leases SET holder = ?3 WHERE name = ?1 AND holder = ?2",
        &[&name, &from.to_string(), &to.to_string()],
    )?;
    Ok(())
}

/// Releases the lease, so that another node need not wait until it expires.
pub fn give_up(tx: &Tx<'_>, name: &str, holder: Uuid) -> Result<(), DbError> {
    tx.execute("DELETE FROM leases WHERE name = ?1 AND holder = ?2", &[&name, &holder.to_string()])?;
    Ok(())
}
