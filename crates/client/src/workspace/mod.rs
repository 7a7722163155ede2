//! Files and folders of a workspace, with retries. Calls name them by their number; `paths.rs` finds them by their path.
//!
//! Invariant: only idempotent calls are retried freely. Other calls are retried only when the failed attempt certainly had no effect.

mod paths;

use std::fmt;
use std::time::Duration;

use partway_api::{
    CreateFolderRequest, DeletedFolder, ErrorCode, FileList, FileRow, Folder, FolderList, RenameFileRequest,
    RenameFolderRequest, UpdateFileRequest,
};

use crate::files::FileQuery;
use crate::folders::FolderQuery;
use crate::{Client, Error, RetryPolicy};

/// Called with each failure that is followed by a retry, and the pause until then.
type OnRetry = Box<dyn Fn(&Error, Duration) + Send + Sync>;

/// The workspace of a client's key.
pub struct Workspace {
    client: Client,
    retry: RetryPolicy,
    on_retry: OnRetry,
}

impl fmt::Debug for Workspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workspace").field("client", &self.client).field("retry", &self.retry).finish_non_exhaustive()
    }
}

impl Workspace {
    /// The workspace of the client's key.
    pub fn of(client: Client) -> Self {
        Self { client, retry: RetryPolicy::default(), on_retry: Box::new(|_, _| {}) }
    }

    /// Sets how failed calls are retried.
    #[must_use]
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Sets the callback for each failure that is followed by a retry, and the pause until then.
    #[must_use]
    pub fn on_retry(mut self, on_retry: impl Fn(&Error, Duration) + Send + Sync + 'static) -> Self {
        self.on_retry = Box::new(on_retry);
        self
    }

    /// The client, for calls without retries.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// One page of the files that match.
    ///
    /// # Errors
    /// When the server refuses, or is unreachable for longer than the retries last. The other calls fail likewise.
    pub async fn list_files(&self, query: &FileQuery) -> Result<FileList, Error> {
        self.repeat(async || self.client.list_files(query).await).await
    }

    /// The file with this number.
    ///
    /// # Errors
    /// As [`list_files`](Self::list_files).
    pub async fn file(&self, file_no: &str) -> Result<FileRow, Error> {
        self.repeat(async || self.client.file(file_no).await).await
    }

    /// Changes tags and metadata.
    ///
    /// # Errors
    /// As [`list_files`](Self::list_files).
    pub async fn update_file(&self, file_no: &str, request: &UpdateFileRequest) -> Result<FileRow, Error> {
        self.repeat(async || self.client.update_file(file_no, request).await).await
    }

    /// Renames a file, moves it to another folder, or both.
    ///
    /// # Errors
    /// As [`list_files`](Self::list_files).
    pub async fn rename_file(&self, file_no: &str, request: &RenameFileRequest) -> Result<FileRow, Error> {
        self.repeat(async || self.client.rename_file(file_no, request).await).await
    }

    /// Deletes a file.
    ///
    /// # Errors
    /// As [`list_files`](Self::list_files).
    pub async fn delete_file(&self, file_no: &str) -> Result<(), Error> {
        self.delete(ErrorCode::FileNotFound, async || self.client.delete_file(file_no).await).await
    }

    /// The file that a deletion would delete. Deletes nothing.
    ///
    /// # Errors
    /// As [`list_files`](Self::list_files).
    pub async fn preview_file_deletion(&self, file_no: &str) -> Result<FileRow, Error> {
        self.repeat(async || self.client.preview_file_deletion(file_no).await).await
    }

    /// One page of the folders that match.
    ///
    /// # Errors
    /// As [`list_files`](Self::list_files).
    pub async fn list_folders(&self, query: &FolderQuery) -> Result<FolderList, Error> {
        self.repeat(async || self.client.list_folders(query).await).await
    }

    /// Creates a folder. Fails when the answer is lost; the folder may exist then.
    ///
    /// # Errors
    /// As [`list_files`](Self::list_files).
    pub async fn create_folder(&self, request: &CreateFolderRequest) -> Result<Folder, Error> {
        let create = async || self.client.create_folder(request).await;
        self.retry.run(create, Error::had_no_effect, &self.on_retry).await
    }

    /// Renames a folder, and with it the paths of everything below.
    ///
    /// # Errors
    /// As [`list_files`](Self::list_files).
    pub async fn rename_folder(&self, folder_no: &str, request: &RenameFolderRequest) -> Result<Folder, Error> {
        self.repeat(async || self.client.rename_folder(folder_no, request).await).await
    }

    /// Deletes a folder with everything below it.
    ///
    /// # Errors
    /// As [`list_files`](Self::list_files).
    pub async fn delete_folder(&self, folder_no: &str) -> Result<(), Error> {
        self.delete(ErrorCode::FolderNotFound, async || self.client.delete_folder(folder_no).await).await
    }

    /// The folder and the counts that a deletion would delete. Deletes nothing.
    ///
    /// # Errors
    /// As [`list_files`](Self::list_files).
    pub async fn preview_folder_deletion(&self, folder_no: &str) -> Result<DeletedFolder, Error> {
        self.repeat(async || self.client.preview_folder_deletion(folder_no).await).await
    }

    async fn repeat<T>(&self, call: impl AsyncFnMut() -> Result<T, Error>) -> Result<T, Error> {
        self.retry.run(call, Error::is_transient, &self.on_retry).await
    }

    /// Deletes with retries. If a retry answers that nothing was found, the attempt whose answer was lost has deleted it.
    async fn delete(&self, gone: ErrorCode, mut call: impl AsyncFnMut() -> Result<(), Error>) -> Result<(), Error> {
        let mut may_be_done = false;
        self.repeat(async || {
            let outcome = call().await;
            match &outcome {
                Err(error) if may_be_done && error.code() == Some(gone) => return Ok(()),
                Err(error) => may_be_done |= !error.had_no_effect(),
                Ok(()) => {}
            }
            outcome
        })
        .await
    }
}
