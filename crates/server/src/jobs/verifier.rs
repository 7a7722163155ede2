//! After the machine was started anew, perhaps after a power cut: verifies the parts of all open sessions, while the
//! server serves. A session that somebody asks for is verified at once; see `service/upload/local/reopen.rs`.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::service::upload::Uploads;
use crate::turn::turn;

/// Between two tries, when the database fails.
const PAUSE: Duration = Duration::from_secs(5);

/// Runs until all is verified, or `stop`.
pub async fn verify_untrusted(uploads: Uploads, stop: CancellationToken) {
    loop {
        match turn("job.verifier", uploads.verify_untrusted(&stop)).await {
            Some(Ok(())) => return,
            Some(Err(error)) => {
                tracing::error!(error = %crate::error_chain::error_chain(&error), "cannot list the sessions to verify; trying again");
            }
            None => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}
