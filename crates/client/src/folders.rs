//! API calls on folders. Each is one request; [`Workspace`](crate::Workspace) retries.

use std::str::FromStr;

use partway_api::{CreateFolderRequest, DeleteFolderPreview, DeletedFolder, Folder, FolderList, RenameFolderRequest};
use reqwest::Method;

use crate::client::{done, json};
use crate::pages::page_pairs;
use crate::{Client, Error};

/// The order of a list of folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FolderSort {
    /// By name.
    #[default]
    NameAsc,
    /// By name, backwards.
    NameDesc,
    /// The oldest first.
    CreatedAtAsc,
    /// The newest first.
    CreatedAtDesc,
}

impl FolderSort {
    /// Every order.
    pub const ALL: [Self; 4] = [Self::NameAsc, Self::NameDesc, Self::CreatedAtAsc, Self::CreatedAtDesc];

    /// Its value in the query.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NameAsc => "name_asc",
            Self::NameDesc => "name_desc",
            Self::CreatedAtAsc => "created_at_asc",
            Self::CreatedAtDesc => "created_at_desc",
        }
    }
}

impl FromStr for FolderSort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|sort| sort.as_str() == text)
            .ok_or_else(|| format!("is none of {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// Filters and page of a list of folders.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FolderQuery {
    /// Number of the folder that contains them directly. `None` for the workspace's root, or with `search` or `path` for any
    /// folder.
    pub parent_folder_no: Option<String>,
    /// A part of their name, ignoring case.
    pub search: Option<String>,
    /// The path of one folder.
    pub path: Option<String>,
    /// Their order.
    pub sort: FolderSort,
    /// Page of the list, from 1; 0 is the first as well.
    pub page: u32,
    /// Folders per page, at most [`MAX_LIMIT`](Self::MAX_LIMIT); 0 for that.
    pub limit: u32,
}

impl FolderQuery {
    /// Upper bound of folders per page.
    pub const MAX_LIMIT: u32 = partway_api::limits::MAX_FOLDER_PAGE_ROWS;

    fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = page_pairs(self.page, self.limit, Self::MAX_LIMIT, self.sort.as_str());
        let named = [("parent_folder_no", &self.parent_folder_no), ("search", &self.search), ("path", &self.path)];
        pairs.extend(named.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
        pairs
    }
}

impl Client {
    /// One page of the folders that match.
    ///
    /// # Errors
    /// When the server refuses or cannot be reached.
    pub async fn list_folders(&self, query: &FolderQuery) -> Result<FolderList, Error> {
        json(self.call_with_query(Method::GET, &["folders"], &query.pairs())).await
    }

    /// Creates a folder. Repeating the call fails, because the folder exists.
    ///
    /// # Errors
    /// When the server refuses or cannot be reached.
    pub async fn create_folder(&self, request: &CreateFolderRequest) -> Result<Folder, Error> {
        json(self.call(Method::POST, &["folders"]).json(request)).await
    }

    /// Renames a folder, and with it the paths of everything below. Idempotent.
    ///
    /// # Errors
    /// When the server refuses, as it does when the name is taken, or cannot be reached.
    pub async fn rename_folder(&self, folder_no: &str, request: &RenameFolderRequest) -> Result<Folder, Error> {
        json(self.call(Method::POST, &["folders", "rename", folder_no]).json(request)).await
    }

    /// Deletes a folder with everything below it. Repeating the call answers that it is not found.
    ///
    /// # Errors
    /// When the server refuses or cannot be reached.
    pub async fn delete_folder(&self, folder_no: &str) -> Result<(), Error> {
        done(self.call(Method::DELETE, &["folders", folder_no])).await
    }

    /// The folder and the counts that a deletion would delete. Deletes nothing.
    ///
    /// # Errors
    /// When the server refuses or cannot be reached.
    pub async fn preview_folder_deletion(&self, folder_no: &str) -> Result<DeletedFolder, Error> {
        let call = self.call_with_query(Method::DELETE, &["folders", folder_no], &[("dry_run", "true".to_owned())]);
        json(call).await.map(|DeleteFolderPreview { would_delete, .. }| would_delete)
    }
}
