//! A scan, and the request that waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use uuid::Uuid;

/// A scan of a workspace. `R` is how the engine runs it.
pub(crate) struct Scan<R> {
    pub workspace_id: Uuid,
    pub abandoned: Arc<Abandoned>,
    pub run: R,
}

/// Set when the request of a scan is gone.
#[derive(Default)]
pub(crate) struct Abandoned(AtomicBool);

impl Abandoned {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Held by the request. Dropping it abandons the scan.
#[derive(Default)]
pub(crate) struct RequestGuard(pub Arc<Abandoned>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}
