//! Bytes of a blob that nobody can have claimed yet.

use std::sync::Arc;

use super::Blob;

/// Dropped, it gives the bytes back to the disk at once, whatever becomes of the blob's name and its record. Whoever may still
/// be writing the blob must hold it.
#[derive(Debug)]
pub struct UnclaimedBytes {
    blob: Arc<Blob>,
    is_kept: bool,
}

impl UnclaimedBytes {
    pub(super) fn new(blob: Arc<Blob>) -> Self {
        Self { blob, is_kept: false }
    }

    /// The blob.
    pub fn blob(&self) -> &Arc<Blob> {
        &self.blob
    }

    /// From here on somebody may claim them, perhaps without this process hearing of it.
    pub fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for UnclaimedBytes {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        let blob = Arc::clone(&self.blob);
        let clear = move || {
            if let Err(error) = blob.clear() {
                tracing::warn!(error = %crate::error_chain::error_chain(&error), "the bytes of an upload that failed stay until its blob is deleted");
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(clear)),
            Err(_) => clear(),
        }
    }
}
