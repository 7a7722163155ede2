//! Ends what revoked keys have opened. Keys are revoked by a command beside the server; which node ends their sessions does not
//! matter, and one at a time does.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Lease;
use crate::db::{Db, sessions};
use crate::service::upload::{UploadError, Uploads};
use crate::turn::turn;

/// Between two looks: one row of an index for each revoked key.
const INTERVAL: Duration = Duration::from_secs(1);
/// After sessions that could not be ended.
const PAUSE: Duration = Duration::from_secs(15);

/// Ends the sessions of revoked keys.
pub struct Revoker {
    /// Says whether it is this node that ends them. Ending one twice does no harm.
    pub lease: Lease,
    /// The records.
    pub db: Db,
    /// The sessions.
    pub uploads: Uploads,
}

impl Revoker {
    /// Runs until `stop`. A step that fails is logged and tried again.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let pause = tokio::select! {
                () = stop.cancelled() => break,
                ended = turn("job.revoker", self.end_sessions()) => match ended {
                    Some(Ok(())) => INTERVAL,
                    Some(Err(error)) => {
                        tracing::error!(error = %crate::error_chain::error_chain(&error), "sessions of revoked keys cannot be ended; trying again soon");
                        PAUSE
                    }
                    None => PAUSE,
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
