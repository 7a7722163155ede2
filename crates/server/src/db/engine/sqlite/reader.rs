//! Threads that read: look-ups in the order in which they arrive, scans with a time limit and a lower priority.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::db::engine::scan_queue::{Abandoned, Scan};
use crate::db::sql::{DbError, Tx};

/// Steps of SQLite's virtual machine between two checks whether a scan is to be interrupted: about 0.1 ms, which costs nothing
/// measurable.
const INTERRUPT_CHECK_STEPS: i32 = 4096;
/// Added to the niceness of threads that scan: where the processor is short they get a third of the time of other threads.
const SCAN_NICENESS: i32 = 5;

/// A query with the answer to its request.
pub(super) type Read = Box<dyn FnOnce(&Connection) + Send>;

/// Runs a query all of whose statements see the database as it was at one moment.
pub(super) fn in_snapshot<T>(
    connection: &Connection,
    query: impl FnOnce(&Tx<'_>) -> Result<T, DbError>,
) -> Result<T, DbError> {
    // Rolled back when dropped, also when the query panics.
    let _transaction = connection.unchecked_transaction()?;
    query(&Tx::sqlite(connection))
}

/// Runs look-ups until nobody can send any.
pub(super) fn run_reads(connection: &Connection, jobs: &Mutex<mpsc::Receiver<Read>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // A query that panics drops its sender, which answers its request; the thread goes on.
        let _ = catch_unwind(AssertUnwindSafe(|| job(connection)));
    }
}

/// Lowers the priority of this thread below those that answer requests: scans keep the processor busy for milliseconds.
pub(super) fn lower_priority() {
    if let Err(error) = rustix::process::nice(SCAN_NICENESS) {
        tracing::debug!(%error, "the priority of scans cannot be lowered");
    }
}

/// Runs a scan while its request waits for it, and no longer than `limit`.
pub(super) fn run_scan(connection: &mut Connection, scan: Scan<Read>, limit: Duration) {
    let Scan { abandoned, run, .. } = scan;
    if let Err(error) = watch(connection, abandoned, Instant::now() + limit) {
        tracing::error!(%error, "a list or search runs without a time limit");
    }
    // A query that panics drops its sender, which answers its request; the thread goes on.
    let _ = catch_unwind(AssertUnwindSafe(|| run(connection)));
    let ended = connection.progress_handler(INTERRUPT_CHECK_STEPS, None::<fn() -> bool>);
    // The interruption may have hit the end of the transaction as well.
    let ended = match connection.is_autocommit() {
        true => ended,
        false => ended.and_then(|()| connection.execute_batch("ROLLBACK")),
    };
    if let Err(error) = ended {
        tracing::error!(%error, "the transaction of a list or search could not be ended");
    }
}

fn watch(connection: &mut Connection, abandoned: Arc<Abandoned>, until: Instant) -> rusqlite::Result<()> {
    connection.progress_handler(INTERRUPT_CHECK_STEPS, Some(move || abandoned.is_set() || Instant::now() >= until))
}
