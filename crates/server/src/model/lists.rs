//! Filters and orders of lists.

use uuid::Uuid;

/// Conditions on listed files; all of them must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileFilter {
    /// Directly in this folder, which may be the root.
    pub folder_id: Option<Uuid>,
    /// Path begins with this text; composed (NFC) and not empty.
    pub path_prefix: Option<String>,
    /// Path equals this text; composed (NFC).
    pub path: Option<String>,
    /// Name contains this text, without regard to case.
    pub search: Option<String>,
    /// Has all of these tags.
    pub tags: Vec<String>,
    /// Has this client's id.
    pub custom_id: Option<String>,
}

/// Sort key of a list of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKey {
    /// Time at which the file became visible.
    CreatedAt,
    /// Time of the last change of its row.
    UpdatedAt,
    /// Name, without regard to case.
    Name,
    /// Size.
    Size,
}

/// Order of a list of files. Files with equal keys are ordered by id, in the same direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileOrder {
    /// The sort key.
    pub key: FileKey,
    /// Largest key first.
    pub descending: bool,
}

/// Conditions on listed folders; all of them must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FolderFilter {
    /// Directly in this folder, which may be the root.
    pub parent_id: Option<Uuid>,
    /// Name contains this text, without regard to case.
    pub search: Option<String>,
    /// Path equals this text; composed (NFC).
    pub path: Option<String>,
}

/// Order of a list of folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FolderOrder {
    /// By time of creation instead of by name.
    pub by_creation: bool,
    /// Descending.
    pub descending: bool,
}
