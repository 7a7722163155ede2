//! Leases of parts: one request at a time writes a part, and the latest request wins (`LiveSession::lease`). A cancelled request
//! leaves the part missing (`receive.rs`).

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

use crate::service::upload::keyed_locks::{KeyedLock, KeyedLocks};

/// The lock of one part: its holder may write, the latest claim may cancel the holder.
#[derive(Debug, Default)]
struct PartLock {
    writing: Arc<tokio::sync::Mutex<()>>,
    latest: Mutex<CancellationToken>,
}

impl PartLock {
    /// Makes `claim` the latest, and returns the one before.
    fn replace_latest(&self, claim: CancellationToken) -> CancellationToken {
        std::mem::replace(&mut *self.latest.lock().unwrap_or_else(PoisonError::into_inner), claim)
    }

    fn cancel(&self) {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).cancel();
    }
}

/// The parts of a session that requests are sending, by index.
#[derive(Debug, Default)]
pub(super) struct PartLocks(KeyedLocks<u32, PartLock>);

/// A request that waits for the lease of a part.
pub(super) struct PartClaim {
    lock: KeyedLock<u32, PartLock>,
    superseded: CancellationToken,
}

/// Permission to write one part, alone.
#[derive(Debug)]
pub(super) struct PartLease {
    /// Held by every task that may still be writing.
    pub(super) guard: PartGuard,
    /// Cancelled when a later request for the part arrives, or the session ends.
    pub(super) superseded: CancellationToken,
}

/// While it lives, no other request writes the part.
#[derive(Debug)]
pub(super) struct PartGuard {
    // Declared first, so released first.
    _writing: OwnedMutexGuard<()>,
    _lock: KeyedLock<u32, PartLock>,
}

impl PartLocks {
    /// Claims the lease of a part, and cancels the request that holds it or waits for it.
    pub(super) fn claim(&self, part_index: u32) -> PartClaim {
        let lock = self.0.get_or_insert_with(part_index, PartLock::default);
        let superseded = CancellationToken::new();
        let earlier = lock.lock().replace_latest(superseded.clone());
        if lock.is_shared() {
            earlier.cancel();
        }
        PartClaim { lock, superseded }
    }

    /// Cancels every request that holds a lease or waits for one.
    pub(super) fn cancel_all(&self) {
        self.0.for_each(PartLock::cancel);
    }
}

impl PartClaim {
    /// Waits until the part may be written; `None` when the claim was cancelled before.
    pub(super) async fn wait(self) -> Option<PartLease> {
        let Self { lock, superseded } = self;
        let writing = Arc::clone(&lock.lock().writing);
        tokio::select! {
            biased;
            () = superseded.cancelled() => None,
            writing = writing.lock_owned() => {
                Some(PartLease { guard: PartGuard { _writing: writing, _lock: lock }, superseded })
            }
        }
    }
}
