//! Ends the sessions of revoked keys. A command next to the server revokes the keys; one node at a time ends the sessions.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Lease;
use crate::db::{Db, sessions};
use crate::error_chain::error_chain;
use crate::service::upload::{UploadError, Uploads};
use crate::turn::turn;

/// Between two looks, each of which reads one row of an index for each revoked key.
const REVOKED_KEYS_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// After a failure to end sessions.
const FAILURE_PAUSE: Duration = Duration::from_secs(15);

/// Ends the sessions of revoked keys.
pub(crate) struct Revoker {
    /// Lets one node end sessions at a time. Ending one twice does no harm.
    pub lease: Lease,
    /// The database.
    pub db: Db,
    /// Ends the sessions.
    pub uploads: Uploads,
}

impl Revoker {
    /// Runs until `stop`. Failures are logged and retried.
    pub(crate) async fn run(self, stop: CancellationToken) {
        loop {
            let pause = tokio::select! {
                () = stop.cancelled() => break,
                ended = turn("job.revoker", self.end_sessions()) => match ended {
                    Some(Ok(())) => REVOKED_KEYS_CHECK_INTERVAL,
                    Some(Err(error)) => {
                        tracing::error!(error = %error_chain(&error), "sessions of revoked keys cannot be ended; retrying soon");
                        FAILURE_PAUSE
                    }
                    None => FAILURE_PAUSE,
                },
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.lease.give_up().await;
    }

    async fn end_sessions(&self) -> Result<(), UploadError> {
        if !self.db.read(sessions::any_of_revoked_keys).await? {
            return Ok(());
        }
        let (mut last, mut outcome) = (Uuid::nil(), Ok(()));
        while self.lease.take().await? {
            let Some((next, ended)) = self.uploads.end_some_revoked(last).await? else { break };
            (last, outcome) = (next, outcome.and(ended));
        }
        outcome
    }
}
