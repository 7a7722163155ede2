//! Sets of files that an index names.

use uuid::Uuid;

/// A range of an index from which a list can be read.
#[derive(Debug, Clone, Copy)]
pub(super) enum IndexScan<'f> {
    /// All files of the workspace, including those in deleted folders.
    Workspace,
    /// Files directly in a folder.
    Folder(Uuid),
    /// Files in folders whose paths start with the prefix.
    FoldersBelow(&'f str),
    /// Files directly in the folder that a prefix with a trailing slash names.
    FilesOf(Uuid),
    /// Files in the parent folder of the prefix whose names start with the prefix's last segment.
    NamesBelow(&'f str),
    /// The file with this path.
    Path(&'f str),
    /// Files with a tag, including those in deleted folders.
    Tag(&'f str),
    /// Files with a client's id, including those in deleted folders.
    CustomId(&'f str),
}
