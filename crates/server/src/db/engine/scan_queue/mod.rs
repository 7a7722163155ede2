//! Scans (lists and searches) that wait for a reader, for both engines.
//!
//! Invariants: workspaces are served round-robin, independent of their numbers of scans, and none has all readers if there are
//! several. No workspace has more than `MAX_WAITING_OF_ONE` waiting scans. A scan whose request is gone never begins.

mod scan;
mod turns;

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(super) use self::scan::{Abandoned, RequestGuard, Scan};
pub(super) use self::turns::Turns;
use crate::db::sql::DbError;

/// Longest scan. One through a million names takes about a second. After ten most clients have gone, and other scans wait.
pub(super) const SCAN_LIMIT: Duration = Duration::from_secs(10);

/// Waiting scans, for readers that run scans only.
pub(super) struct ScanQueue<R> {
    state: Mutex<State<R>>,
    asked: Condvar,
}

struct State<R> {
    turns: Turns<R>,
    closed: bool,
}

impl<R> ScanQueue<R> {
    /// An empty queue for this number of readers.
    pub(super) fn new(readers: usize) -> Self {
        Self { state: Mutex::new(State { turns: Turns::new(readers), closed: false }), asked: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a scan to those of its workspace.
    ///
    /// # Errors
    /// [`DbError::Busy`] when the workspace has too many.
    pub(super) fn push(&self, scan: Scan<R>) -> Result<(), DbError> {
        self.lock().turns.push(scan)?;
        self.asked.notify_one();
        Ok(())
    }

    /// Runs scans one after the other until the queue is closed. `run` must not panic.
    pub(super) fn serve(&self, mut run: impl FnMut(Scan<R>)) {
        while let Some(scan) = self.next() {
            let workspace_id = scan.workspace_id;
            run(scan);
            self.lock().turns.ended(workspace_id);
        }
    }

    fn next(&self) -> Option<Scan<R>> {
        let mut state = self.lock();
        while !state.closed {
            if let Some(scan) = state.turns.take() {
                return Some(scan);
            }
            state = self.asked.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    /// Ends the readers.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.asked.notify_all();
    }
}
