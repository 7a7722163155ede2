//! The API's representations of files and folders.

use partway_api::{FileRecord, FileRow, FileSummary, Folder as WireFolder};

use super::urls::Urls;
use crate::db::files::{self, File};
use crate::db::folders::Folder;
use crate::model::category;

/// The record of a file in the workspace with this number, which every kind of upload answers.
pub fn file_record(file: File, workspace_no: &str, urls: &Urls) -> FileRecord {
    let url = urls.file(workspace_no, &file.path);
    let version_url = urls.version(&url, file.id);
    let data = FileSummary {
        id: file.id.to_string(),
        file_no: file.file_no.clone(),
        name: file.name.clone(),
        url: url.clone(),
        version_url: version_url.clone(),
        path: files::split(&file.path).0.to_owned(),
        width: file.width,
        height: file.height,
        format: file.format.clone(),
        file_size: file.size_bytes,
        workspace_no: workspace_no.to_owned(),
    };
    FileRecord {
        id: file.id.to_string(),
        file_no: file.file_no,
        workspace_id: file.workspace_id.to_string(),
        workspace_no: workspace_no.to_owned(),
        name: file.name,
        path: file.path,
        url,
        version_url,
        width: file.width,
        height: file.height,
        size: file.size_bytes,
        format: file.format,
        extension: category(&file.mime_type).to_owned(),
        mime_type: file.mime_type,
        declared_type: file.declared_type,
        hash: file.hash,
        tags: file.tags,
        metadata: file.metadata,
        custom_id: file.custom_id,
        folder_no: file.folder_no,
        is_private: false,
        is_duplicate: file.is_duplicate,
        created_at: file.created_at.to_iso8601(),
        upload_source: file.upload_source,
        thumbnail: String::new(),
        success: true,
        data,
    }
}

/// The file in a list.
pub fn file_row(file: File, workspace_no: &str, urls: &Urls) -> FileRow {
    let url = urls.file(workspace_no, &file.path);
    FileRow {
        version_url: urls.version(&url, file.id),
        url,
        id: file.id.to_string(),
        file_no: file.file_no,
        name: file.name,
        path: file.path,
        thumbnail: String::new(),
        thumbanil: String::new(),
        width: file.width,
        height: file.height,
        size: file.size_bytes,
        file_size: file.size_bytes,
        format: file.format,
        extension: category(&file.mime_type).to_owned(),
        mime_type: file.mime_type,
        declared_type: file.declared_type,
        tags: file.tags,
        metadata: file.metadata,
        custom_id: file.custom_id,
        folder_no: file.folder_no,
        folder_name: file.folder_name,
        workspace_no: workspace_no.to_owned(),
        source: file.upload_source,
        hash: file.hash,
        created_at: file.created_at.to_iso8601(),
        updated_at: file.updated_at.to_iso8601(),
    }
}

/// The folder in an answer.
pub fn folder(folder: Folder) -> WireFolder {
    WireFolder {
        id: folder.id.to_string(),
        folder_no: folder.folder_no,
        name: folder.name,
        path: folder.path,
        parent_folder_no: folder.parent_folder_no,
        created_at: folder.created_at.to_iso8601(),
        updated_at: folder.updated_at.to_iso8601(),
        total_items: folder.total_files,
        total_size: folder.total_bytes,
    }
}
