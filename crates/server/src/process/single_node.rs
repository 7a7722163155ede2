//! Keeps a second server with files on its own disk away from a PostgreSQL database: each would treat the other's files as
//! lost, and release bytes that only the other has.
//!
//! Invariants: one process holds the lease [`LEASE_NAME`] while it serves local storage with a shared database. A server that starts
//! again on the same data directory, whose lock it has, takes over from its former process at once; a server on another
//! directory waits until the lease is released or expires. A process that finds the lease taken by another ends at once.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::db::{Db, DbError, Durability, leases};
use crate::file_modes::private_file;

/// Name of the lease.
const LEASE_NAME: &str = "single node";
/// Lifetime of the lease: for this time after its last renewal, a server keeps others out.
pub(crate) const LEASE_SECONDS: u64 = 30;
/// Time between two renewals. Two in a row may fail before the lease expires.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(10);

/// Why local storage could not be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotAlone {
    /// Another server has the lease.
    #[error("another server holds the lease")]
    Taken,
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The data directory failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Claims the database for the server of `data_dir`, whose lock the caller has.
pub(crate) async fn take(db: &Db, data_dir: &Path, node: Uuid) -> Result<(), NotAlone> {
    let file = file_in(data_dir);
    let former = std::fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok());
    let taken = db.write(Durability::PowerLoss, move |tx| {
        if let Some(former) = former {
            leases::hand_over(tx, LEASE_NAME, former, node)?;
        }
        leases::take(tx, LEASE_NAME, node, LEASE_SECONDS)
    });
    if !taken.await? {
        return Err(NotAlone::Taken);
    }
    // After a crash between the two writes, the next start waits until the lease expires.
    Ok(write(&file, node)?)
}

fn file_in(data_dir: &Path) -> PathBuf {
    data_dir.join("node")
}

/// Replaces the file atomically.
fn write(file: &Path, node: Uuid) -> io::Result<()> {
    let new = file.with_extension("new");
    let mut writing = private_file().write(true).create(true).truncate(true).open(&new)?;
    writeln!(writing, "{node}")?;
    writing.sync_all()?;
    std::fs::rename(new, file)
}

/// Renews the lease until `stop`, and releases it then.
pub(crate) async fn hold(db: Db, node: Uuid, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(RENEWAL_INTERVAL) => {}
        }
        match db.write(Durability::Process, move |tx| leases::take(tx, LEASE_NAME, node, LEASE_SECONDS)).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::error!(
                    "another server with storage.single_node has taken the database, as after a copy of this one's data \
                     directory; this one ends at once"
                );
                std::process::exit(1);
            }
            // Requests fail as well, and report the cause.
            Err(error) => tracing::debug!(error = crate::error_chain(&error), "cannot renew the lease"),
        }
    }
    if let Err(error) = db.write(Durability::Process, move |tx| leases::give_up(tx, LEASE_NAME, node)).await {
        let error = crate::error_chain(&error);
        tracing::warn!(error, "a server on another data directory can start in {LEASE_SECONDS} s");
    }
}
