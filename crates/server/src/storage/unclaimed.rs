//! Bytes of a blob that no record can refer to yet.

use std::sync::Arc;

use super::Blob;

/// Dropping it returns the bytes to the disk at once; the blob's name and record are deleted later. A writer must hold it
/// until its last write has ended.
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

    /// Keeps the bytes: from here on a record may refer to them, even if this process does not learn of it.
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
