//! Cancels scans on the PostgreSQL server whose requests are gone, and those that exceed their time limit.
//!
//! Invariant: if [`ScanWatch::end`] returns true, the scan was not cancelled and never will be, and its connection can be used again.
//! A cancel request may reach the server late, so a connection for which one was sent is never used again.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use postgres::CancelToken;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::db::engine::scan_queue::Abandoned;

/// The running scans.
#[derive(Default)]
pub(super) struct ScanWatch {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    running: Vec<Running>,
    begun: u64,
    closed: bool,
}

struct Running {
    number: u64,
    limit: ScanLimit,
    token: CancelToken,
}

/// The limit of a scan: a time, and the end of its request.
#[derive(Clone)]
pub(super) struct ScanLimit {
    pub until: Instant,
    pub abandoned: Arc<Abandoned>,
}

impl ScanLimit {
    pub(super) fn is_over(&self) -> bool {
        self.abandoned.is_set() || Instant::now() >= self.until
    }
}

impl ScanWatch {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches a scan; returns the number for [`end`](Self::end).
    pub(super) fn begin(&self, limit: ScanLimit, token: CancelToken) -> u64 {
        let mut state = self.lock();
        state.begun += 1;
        let number = state.begun;
        state.running.push(Running { number, limit, token });
        drop(state);
        self.look();
        number
    }

    /// False when the scan was cancelled.
    pub(super) fn end(&self, number: u64) -> bool {
        let mut state = self.lock();
        let running = state.running.len();
        state.running.retain(|running| running.number != number);
        state.running.len() < running
    }

    /// Wakes the watch: a request is gone, or there is a new scan.
    pub(super) fn look(&self) {
        // With the lock held the watch is either waiting, and is woken, or has yet to look.
        let _state = self.lock();
        self.changed.notify_one();
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.look();
    }

    /// Cancels scans at their limits until it is closed. Each cancel request has a connection of its own, encrypted like that of the
    /// scan, and a thread of its own: a server that does not answer does not delay the cancellation of other scans.
    pub(super) fn serve(&self, encryption: &MakeRustlsConnect) {
        let mut state = self.lock();
        while !state.closed {
            let due: Vec<_> = state.running.extract_if(.., |running| running.limit.is_over()).collect();
            if !due.is_empty() {
                drop(state);
                due.into_iter().for_each(|running| cancel(running.token, encryption.clone()));
                state = self.lock();
                continue;
            }
            let next = state.running.iter().map(|running| running.limit.until).min();
            state = match next {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(next) => {
                    let rest = next.saturating_duration_since(Instant::now());
                    self.changed.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

fn cancel(token: CancelToken, encryption: MakeRustlsConnect) {
    let warn = |error: &(dyn std::error::Error + 'static)| {
        let error = crate::error_chain(error);
        tracing::warn!(error, "a list or search could not be cancelled; the server ends it in seconds");
    };
    let ask = move || {
        if let Err(error) = token.cancel_query(encryption) {
            warn(&error);
        }
    };
    if let Err(error) = std::thread::Builder::new().name("db-cancel".to_owned()).spawn(ask) {
        warn(&error);
    }
}

/// Held by the request and dropped after its [`RequestGuard`](crate::db::engine::scan_queue::RequestGuard): wakes the watch.
pub(super) struct LookGuard(pub Arc<ScanWatch>);

impl Drop for LookGuard {
    fn drop(&mut self) {
        self.0.look();
    }
}
