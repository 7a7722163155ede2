//! Refuses writes while the reserve is given up, and refills it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::db::engine::reserve::DatabaseReserve;

/// Between two failed attempts to refill the reserve.
const REFILL_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The reserve, as the writer sees it.
pub(super) struct ReserveGate {
    file: Arc<DatabaseReserve>,
    refill_failed_at: Option<Instant>,
}

impl ReserveGate {
    pub(super) fn new(file: Arc<DatabaseReserve>) -> Self {
        Self { file, refill_failed_at: None }
    }

    /// Whether only writes that free something may go on. Refills the reserve if the disk has room again.
    pub(super) fn is_given_up(&mut self) -> bool {
        if !self.file.is_given_up() {
            return false;
        }
        if self.refill_failed_at.is_some_and(|at| at.elapsed() < REFILL_RETRY_INTERVAL) {
            return true;
        }
        if !self.file.is_refillable().unwrap_or(false) {
            return true;
        }
        let filled = self.file.fill();
        self.refill_failed_at = filled.is_err().then(Instant::now);
        filled.is_err() && self.file.is_given_up()
    }
}
