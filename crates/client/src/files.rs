//! API calls on files. Each is one request; [`Workspace`](crate::Workspace) retries.

use std::str::FromStr;

use partway_api::{DeleteFilePreview, FileList, FileResponse, FileRow, RenameFileRequest, UpdateFileRequest};
use reqwest::Method;

use crate::client::{done, json};
use crate::pages::page_pairs;
use crate::{Client, Error};

/// The order of a list of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FileSort {
    /// The newest first.
    #[default]
    CreatedAtDesc,
    /// The oldest first.
    CreatedAtAsc,
    /// By name.
    NameAsc,
    /// By name, backwards.
    NameDesc,
    /// The smallest first.
    SizeAsc,
    /// The largest first.
    SizeDesc,
}

impl FileSort {
    /// Every order.
    pub const ALL: [Self; 6] =
        [Self::CreatedAtDesc, Self::CreatedAtAsc, Self::NameAsc, Self::NameDesc, Self::SizeAsc, Self::SizeDesc];

    /// Its value in the query.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreatedAtDesc => "created_at_desc",
            Self::CreatedAtAsc => "created_at_asc",
            Self::NameAsc => "name_asc",
            Self::NameDesc => "name_desc",
            Self::SizeAsc => "size_asc",
            Self::SizeDesc => "size_desc",
        }
    }
}

impl FromStr for FileSort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|sort| sort.as_str() == text)
            .ok_or_else(|| format!("is none of {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// Filters and page of a list of files. A file must match every filter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileQuery {
    /// Number of the folder that contains them directly, or [`ROOT`](Self::ROOT); `None` for any folder.
    pub folder_no: Option<String>,
    /// A part of their name, ignoring case.
    pub search: Option<String>,
    /// The beginning of their path (folder and name).
    pub path: Option<String>,
    /// The whole path (folder and name) of one file.
    pub file_path: Option<String>,
    /// Tags that they all have.
    pub tags: Vec<String>,
    /// Their id in your own system.
    pub custom_id: Option<String>,
    /// Their order.
    pub sort: FileSort,
    /// Page of the list, from 1; 0 is the first as well.
    pub page: u32,
    /// Files per page, at most [`MAX_LIMIT`](Self::MAX_LIMIT); 0 for that.
    pub limit: u32,
}

impl FileQuery {
    /// Names the workspace's root in place of a folder's number.
    pub const ROOT: &str = "root";
    /// Upper bound of files per page.
    pub const MAX_LIMIT: u32 = 100;

    fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = page_pairs(self.page, self.limit, Self::MAX_LIMIT, self.sort.as_str());
        let named = [
            ("folder_no", &self.folder_no),
            ("search", &self.search),
            ("path", &self.path),
            ("file_path", &self.file_path),
            ("custom_id", &self.custom_id),
        ];
        pairs.extend(named.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
        if !self.tags.is_empty() {
            pairs.push(("tags", self.tags.join(",")));
        }
        pairs
    }
}

impl Client {
    /// One page of the files that match.
    ///
    /// # Errors
    /// When the server refuses or cannot be reached.
    pub async fn list_files(&self, query: &FileQuery) -> Result<FileList, Error> {
        json(self.call_with_query(Method::GET, &["files"], &query.pairs())).await
    }

    /// The record of a file.
    ///
    /// # Errors
    /// When the server refuses or cannot be reached.
    pub async fn file(&self, file_no: &str) -> Result<FileRow, Error> {
        json(self.call(Method::GET, &["files", file_no])).await.map(|FileResponse { data, .. }| data)
    }

    /// Changes tags and metadata. Idempotent.
    ///
    /// # Errors
    /// When the server refuses or cannot be reached.
    pub async fn update_file(&self, file_no: &str, request: &UpdateFileRequest) -> Result<FileRow, Error> {
        let call = self.call(Method::PATCH, &["files", file_no]).json(request);
        json(call).await.map(|FileResponse { data, .. }| data)
    }

    /// Renames a file, moves it to another folder, or both. Idempotent.
    ///
    /// # Errors
    /// When the server refuses, as it does when the name is taken, or cannot be reached.
    pub async fn rename_file(&self, file_no: &str, request: &RenameFileRequest) -> Result<FileRow, Error> {
        let call = self.call(Method::PATCH, &["files", file_no, "rename"]).json(request);
        json(call).await.map(|FileResponse { data, .. }| data)
    }

    /// Deletes a file. Repeating the call answers that it is not found.
    ///
    /// # Errors
    /// When the server refuses or cannot be reached.
    pub async fn delete_file(&self, file_no: &str) -> Result<(), Error> {
        done(self.call(Method::DELETE, &["files", file_no])).await
    }

    /// The file that a deletion would delete. Deletes nothing.
    ///
    /// # Errors
    /// When the server refuses or cannot be reached.
    pub async fn preview_file_deletion(&self, file_no: &str) -> Result<FileRow, Error> {
        let call = self.call_with_query(Method::DELETE, &["files", file_no], &[("dry_run", "true".to_owned())]);
        json(call).await.map(|DeleteFilePreview { would_delete, .. }| would_delete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_only_what_is_asked() {
        let all = FileQuery::default();
        assert_eq!(
            all.pairs(),
            [("page", "1".into()), ("limit", "100".into()), ("sort", "created_at_desc".to_owned())]
        );
        let some = FileQuery {
            folder_no: Some(FileQuery::ROOT.to_owned()),
            tags: vec!["a".into(), "b c".into()],
            page: 3,
            limit: 7,
            ..all
        };
        let pairs = some.pairs();
        for expected in [("page", "3"), ("limit", "7"), ("folder_no", "root"), ("tags", "a,b c")] {
            assert!(
                pairs.iter().any(|(name, value)| (*name, &**value) == expected),
                "{expected:?} is not in {pairs:?}"
            );
        }
    }

    #[test]
    fn every_order_is_read_as_it_is_written() {
        for sort in FileSort::ALL {
            assert_eq!(sort.as_str().parse(), Ok(sort));
        }
        assert!("name".parse::<FileSort>().is_err());
    }
}
