//! Files and folders of a workspace by their path or number, with calls that are tried again.
//!
//! Invariant: a call is repeated only where that does no more than calling once. What changes something in a way that
//! cannot be repeated is tried again only when the server surely did not begin with it.

use std::fmt;
use std::time::Duration;

use partway_api::{
    CreateFolderRequest, DeletedFolder, ErrorCode, FileList, FileRow, Folder, FolderList, RenameFileRequest,
    RenameFolderRequest, UpdateFileRequest,
};
use unicode_normalization::UnicodeNormalization;

use crate::files::FileQuery;
use crate::folders::FolderQuery;
use crate::{Client, Error, RetryPolicy};

/// Characters of the number of a file or folder: 10 digits and lower-case letters.
const NUMBER_CHARS: usize = 10;

/// Called with a failure that will be followed by another try, and the time until then.
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
    /// The workspace whose key the client has.
    pub fn of(client: Client) -> Self {
        Self { client, retry: RetryPolicy::default(), on_retry: Box::new(|_, _| {}) }
    }

    /// How calls are tried again.
    #[must_use]
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Who hears of a failure that will be followed by another try, and of the time until then.
    #[must_use]
    pub fn on_retry(mut self, on_retry: impl Fn(&Error, Duration) + Send + Sync + 'static) -> Self {
        self.on_retry = Box::new(on_retry);
        self
    }

    /// The client, for calls that are not tried again.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// One page of the files that fit.
    ///
    /// # Errors
    /// When the server refuses, or cannot be reached for longer than the retries last. So for all other calls.
    pub async fn list_files(&self, query: &FileQuery) -> Result<FileList, Error> {
        self.repeat(async || self.client.list_files(query).await).await
    }

    /// What is known of the file with this number.
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

    /// What deleting a file would delete. Nothing is.
    ///
    /// # Errors
    /// As [`list_files`](Self::list_files).
    pub async fn preview_file_deletion(&self, file_no: &str) -> Result<FileRow, Error> {
        self.repeat(async || self.client.preview_file_deletion(file_no).await).await
    }

    /// One page of the folders that fit.
    ///
    /// # Errors
    /// As [`list_files`](Self::list_files).
    pub async fn list_folders(&self, query: &FolderQuery) -> Result<FolderList, Error> {
        self.repeat(async || self.client.list_folders(query).await).await
    }

    /// Makes a folder. Where the answer is lost, this fails: the folder may be there.
    ///
    /// # Errors
    /// As [`list_files`](Self::list_files).
    pub async fn create_folder(&self, request: &CreateFolderRequest) -> Result<Folder, Error> {
        let create = async || self.client.create_folder(request).await;
        self.retry.run(create, Error::left_all_untouched, &self.on_retry).await
    }

    /// Renames a folder; the paths of everything below follow.
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

    /// What deleting a folder would delete. Nothing is.
    ///
    /// # Errors
    /// As [`list_files`](Self::list_files).
    pub async fn preview_folder_deletion(&self, folder_no: &str) -> Result<DeletedFolder, Error> {
        self.repeat(async || self.client.preview_folder_deletion(folder_no).await).await
    }

    /// The file that `wanted` names: its number, or else its path. A path that begins with a slash is never taken for a
    /// number.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none, and as [`list_files`](Self::list_files).
    pub async fn find_file(&self, wanted: &str) -> Result<FileRow, Error> {
        if is_like_number(wanted) {
            match self.file(wanted).await {
                Err(error) if error.code() == Some(ErrorCode::FileNotFound) => {}
                outcome => return outcome,
            }
        }
        let not_found = || Error::NotFound { kind: "file", wanted: wanted.to_owned() };
        let path = normalized(wanted);
        if path.is_empty() {
            return Err(not_found());
        }
        let query = FileQuery { file_path: Some(path.clone()), limit: 1, ..FileQuery::default() };
        match self.list_files(&query).await?.files.into_iter().next() {
            Some(file) if file.path == path => Ok(file),
            // A server that ignores the parameter must not make a file seem missing.
            Some(_) => Err(Error::OldServer),
            None => Err(not_found()),
        }
    }

    /// The number of the folder that `wanted` names by its number, or else by its path; `None` for the workspace's root.
    /// A path that begins with a slash is never taken for a number.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none, and as [`list_files`](Self::list_files).
    pub async fn find_folder(&self, wanted: &str) -> Result<Option<String>, Error> {
        if is_like_number(wanted) {
            let query = FolderQuery { parent_folder_no: Some(wanted.to_owned()), limit: 1, ..FolderQuery::default() };
            match self.list_folders(&query).await {
                Err(error) if error.code() == Some(ErrorCode::FolderNotFound) => {}
                outcome => return outcome.map(|_| Some(wanted.to_owned())),
            }
        }
        let path = normalized(wanted);
        if path.is_empty() {
            return Ok(None);
        }
        match self.find_folder_at(&path).await? {
            Some(folder) => Ok(Some(folder.folder_no)),
            None => Err(Error::NotFound { kind: "folder", wanted: wanted.to_owned() }),
        }
    }

    /// The folder at this path; `None` when there is none. One look-up, however many folders are beside it.
    ///
    /// # Errors
    /// As [`list_files`](Self::list_files).
    pub async fn find_folder_at(&self, path: &str) -> Result<Option<Folder>, Error> {
        let path = normalized(path);
        if path.is_empty() {
            return Ok(None);
        }
        let query = FolderQuery { path: Some(path.clone()), limit: 1, ..FolderQuery::default() };
        let list = self.list_folders(&query).await?;
        Ok(list.folders.into_iter().find(|folder| folder.path == path))
    }

    /// Makes the folder at `path`. With `parents`, those on the way that are missing are made as well, and it is no error when
    /// all of it is there.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the folder it is to be in is not there, and as [`list_files`](Self::list_files).
    pub async fn create_folder_at(&self, path: &str, parents: bool) -> Result<Folder, Error> {
        let path = normalized(path);
        let (above, name) = path.rsplit_once('/').unwrap_or(("", &path));
        if !parents {
            let parent_folder_no = match above {
                "" => None,
                _ => match self.find_folder_at(above).await? {
                    Some(folder) => Some(folder.folder_no),
                    None => return Err(Error::NotFound { kind: "folder", wanted: above.to_owned() }),
                },
            };
            return self.create_folder(&CreateFolderRequest { name: name.to_owned(), parent_folder_no }).await;
        }
        // From the root on: each is in the one before it.
        let ends = path.match_indices('/').map(|(end, _)| end);
        let mut parent_folder_no = None;
        for end in ends {
            let folder = self.find_or_create(&path[..end], parent_folder_no).await?;
            parent_folder_no = Some(folder.folder_no);
        }
        self.find_or_create(&path, parent_folder_no).await
    }

    /// The folder at a path, made if it is missing.
    async fn find_or_create(&self, path: &str, parent_folder_no: Option<String>) -> Result<Folder, Error> {
        if let Some(folder) = self.find_folder_at(path).await? {
            return Ok(folder);
        }
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        match self.create_folder(&CreateFolderRequest { name: name.to_owned(), parent_folder_no }).await {
            // Somebody else was faster, or the answer to an earlier try was lost.
            Err(error) if error.code() == Some(ErrorCode::FolderExists) => {
                self.find_folder_at(path).await?.ok_or(error)
            }
            outcome => outcome,
        }
    }

    async fn repeat<T>(&self, call: impl AsyncFnMut() -> Result<T, Error>) -> Result<T, Error> {
        self.retry.run(call, Error::is_mendable, &self.on_retry).await
    }

    /// What is not there when deleting is repeated was deleted by the try whose answer was lost.
    async fn delete(&self, gone: ErrorCode, mut call: impl AsyncFnMut() -> Result<(), Error>) -> Result<(), Error> {
        let mut may_be_done = false;
        self.repeat(async || {
            let outcome = call().await;
            match &outcome {
                Err(error) if may_be_done && error.code() == Some(gone) => return Ok(()),
                Err(error) => may_be_done |= !error.left_all_untouched(),
                Ok(()) => {}
            }
            outcome
        })
        .await
    }
}

/// Whether a number may look so. It may be a path as well.
fn is_like_number(text: &str) -> bool {
    text.len() == NUMBER_CHARS && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
}

/// A path as the server keeps it: in Unicode's normalization form C, without slashes that say nothing.
pub(crate) fn normalized(path: &str) -> String {
    let path: String = path.nfc().collect();
    path.split('/').filter(|segment| !segment.is_empty()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_ten_digits_and_small_letters() {
        for number in ["0123456789", "abcdefghjk", "a1b2c3d4e5"] {
            assert!(is_like_number(number), "{number}");
        }
        for path in
            ["", "012345678", "01234567890", "/123456789", "abcdefgh.j", "ABCDEFGHJK", "ääääääääää", "a/b/c/d/e/"]
        {
            assert!(!is_like_number(path), "{path}");
        }
    }

    #[test]
    fn paths_are_as_the_server_keeps_them() {
        for (given, path) in
            [("", ""), ("/", ""), ("a", "a"), ("/a//b/", "a/b"), ("cafe\u{301}/x", "caf\u{e9}/x"), ("a b", "a b")]
        {
            assert_eq!(normalized(given), path);
        }
    }
}
