//! Files and folders by their path, or by text that may be a path or a number.

use partway_api::{CreateFolderRequest, ErrorCode, FileRow, Folder};
use unicode_normalization::UnicodeNormalization;

use super::Workspace;
use crate::Error;
use crate::files::FileQuery;
use crate::folders::FolderQuery;

/// Characters of the number of a file or folder: 10 digits and lower-case letters.
const NUMBER_CHARS: usize = 10;

impl Workspace {
    /// The file with the number or the path `wanted`. Text that begins with a slash is always a path.
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
            // An old server ignores the parameter and answers other files.
            Some(_) => Err(Error::OldServer),
            None => Err(not_found()),
        }
    }

    /// The number of the folder with the number or the path `wanted`; `None` for the workspace's root. Text that begins with a slash is
    /// always a path.
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

    /// The folder at this path. One look-up, independent of the number of folders.
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

    /// Creates the folder at `path`. With `parents`, missing folders above it are created as well, and an existing folder is no error.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the folder above it is missing, and as [`list_files`](Self::list_files).
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

    /// The folder at a path, created if it is missing.
    async fn find_or_create(&self, path: &str, parent_folder_no: Option<String>) -> Result<Folder, Error> {
        if let Some(folder) = self.find_folder_at(path).await? {
            return Ok(folder);
        }
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        match self.create_folder(&CreateFolderRequest { name: name.to_owned(), parent_folder_no }).await {
            // Another client was faster, or the answer to an earlier attempt was lost.
            Err(error) if error.code() == Some(ErrorCode::FolderExists) => {
                self.find_folder_at(path).await?.ok_or(error)
            }
            outcome => outcome,
        }
    }
}

/// Whether the text has the form of a number. It may be a path as well.
fn is_like_number(text: &str) -> bool {
    text.len() == NUMBER_CHARS && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
}

/// A path as the server stores it: in Unicode normalization form C, without empty segments.
fn normalized(path: &str) -> String {
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
