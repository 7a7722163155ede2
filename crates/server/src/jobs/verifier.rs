//! Verifies the parts of all open sessions after a restart of the machine, perhaps by a power cut, while the server serves. A
//! session that a request names is verified at once (`service/upload/local/recovery.rs`).

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::error_chain::error_chain;
use crate::service::upload::Uploads;
use crate::turn::turn;

/// After a failure of the database.
const FAILURE_PAUSE: Duration = Duration::from_secs(5);

/// Runs until all sessions are verified, or `stop`.
pub(crate) async fn verify_untrusted(uploads: Uploads, stop: CancellationToken) {
    loop {
        match turn("job.verifier", uploads.verify_untrusted(&stop)).await {
            Some(Ok(())) => return,
            Some(Err(error)) => {
                tracing::error!(error = %error_chain(&error), "cannot list the sessions to verify; retrying");
            }
            None => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(FAILURE_PAUSE) => {}
        }
    }
}
