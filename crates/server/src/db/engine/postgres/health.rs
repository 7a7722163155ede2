//! State of the PostgreSQL server, as the threads with its connections found it.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::db::sql::DbError;

/// Between two lines in the log on the same missing right.
const REFUSAL_LOG_INTERVAL: Duration = Duration::from_secs(600);
/// Most such lines in that time: a few for each table.
const MAX_LOGGED_REFUSALS: usize = 64;

/// State of the server that the threads share.
#[derive(Default)]
pub(super) struct Health {
    /// Number of times that a connection was found broken. Connections of an earlier count are not used again.
    pub breaks: AtomicU64,
    failure: Mutex<Option<ConnectFailure>>,
    logged: Mutex<LoggedStates>,
}

/// States of the server that are in the log: each once, not once per request.
#[derive(Default)]
struct LoggedStates {
    /// Why no connection can be made.
    failure: Option<String>,
    /// Reasons why statements are refused, with the time of the log line.
    refusals: HashMap<String, Instant>,
}

impl Health {
    /// Why the last connection could not be made, if it could not.
    pub(super) fn failure(&self) -> MutexGuard<'_, Option<ConnectFailure>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn logged(&self) -> MutexGuard<'_, LoggedStates> {
        self.logged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn log_failure(&self, error: &DbError) {
        let error = crate::error_chain(error);
        let mut logged = self.logged();
        if logged.failure.as_ref() != Some(&error) {
            tracing::warn!(error, "cannot connect to the database; retrying while requests wait for it");
            logged.failure = Some(error);
        }
    }

    pub(super) fn log_connected(&self) {
        if self.logged().failure.take().is_some() {
            tracing::info!("connected to the database again");
        }
    }

    pub(super) fn log_refusal(&self, error: String) {
        let mut logged = self.logged();
        logged.refusals.retain(|_, logged_at| logged_at.elapsed() < REFUSAL_LOG_INTERVAL);
        if !logged.refusals.contains_key(&error) && logged.refusals.len() < MAX_LOGGED_REFUSALS {
            tracing::warn!(error, "the database refuses statements; requests that need them are answered 503");
            logged.refusals.insert(error, Instant::now());
        }
    }
}

/// Why the last connection could not be made.
pub(super) struct ConnectFailure {
    /// No thread retries before this time.
    pub retry_at: Instant,
    pub error: DbError,
    /// Whether the server is unreachable, so that the connections that exist are of no use either.
    pub is_unreachable: bool,
}
