//! Work that blocks, and work that outlives the request that asked for it.

use super::UploadError;
use crate::storage::StorageError;

/// Runs storage work, which blocks, off the async threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, UploadError> {
    let result = tokio::task::spawn_blocking(work).await;
    Ok(result.map_err(StorageError::from)??)
}

/// Runs `work` to its end even when the request that waits for its result is cancelled.
pub(super) async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, UploadError>> + Send + 'static,
) -> Result<T, UploadError> {
    tokio::spawn(work).await.unwrap_or_else(|error| Err(UploadError::Storage(error.into())))
}

#[cfg(test)]
mod tests {
    use partway_api::ErrorCode;

    use super::{UploadError, blocking, to_its_end};

    #[tokio::test]
    async fn a_panic_is_a_failure_of_the_server_and_not_a_stop() {
        let in_task = to_its_end::<()>(async { panic!("injected") }).await.unwrap_err();
        let on_thread = blocking::<()>(|| panic!("injected")).await.unwrap_err();
        for error in [in_task, on_thread] {
            assert_eq!(error.code(), ErrorCode::Internal, "{error}");
        }
        let task = tokio::spawn(std::future::pending::<()>());
        task.abort();
        let stopped = UploadError::Storage(task.await.unwrap_err().into());
        assert_eq!(stopped.code(), ErrorCode::ServiceUnavailable);
    }
}
