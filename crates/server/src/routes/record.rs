//! The file record, from the file.

use partway_api::{FileRecord, FileSummary};

use crate::db::files::File;
use crate::input::category;
use crate::service::urls::Urls;

/// The record of a file of the workspace with this number.
pub(super) fn file_record(file: File, workspace_no: &str, urls: &Urls) -> FileRecord {
    let url = urls.file(workspace_no, &file.path);
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let data = FileSummary {
        id: file.id.to_string(),
        file_no: file.file_no.clone(),
        name: file.name.clone(),
        url: url.clone(),
        path: folder.to_owned(),
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
        width: file.width,
        height: file.height,
        size: file.size_bytes,
        format: file.format,
        extension: category(&file.mime_type).to_owned(),
        mime_type: file.mime_type,
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
