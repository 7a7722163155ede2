//! The file that a session is to become.

use crate::db::sessions::Session;
use crate::input::MediaType;
use crate::media::FileType;
use crate::service::publish::FileDraft;

/// `upload_source` of files that clients send.
pub(in crate::service::upload) const UPLOAD_SOURCE: &str = "api";

/// The type of the session's file, judged by its first bytes.
pub(in crate::service::upload) fn file_type(session: &Session, head: &[u8]) -> FileType {
    match MediaType::parse(&session.mime_type) {
        Ok(declared) => FileType::of(head, &declared),
        // It was checked when the session was started.
        Err(_) => FileType { mime_type: session.mime_type.clone(), declared: session.mime_type.clone() },
    }
}

/// The session's file, ready to be published.
pub(in crate::service::upload) fn draft(
    session: &Session,
    file_type: FileType,
    hash: Option<String>,
    dimensions: Option<(u32, u32)>,
) -> FileDraft {
    FileDraft {
        id: session.file_id,
        workspace_id: session.workspace_id,
        api_key_id: session.api_key_id,
        folder: session.folder.clone(),
        name: session.file_name.clone(),
        blob: session.blob(),
        size_bytes: session.size_bytes,
        file_type,
        dimensions,
        hash,
        tags: session.tags.clone(),
        metadata: session.metadata.clone(),
        custom_id: session.custom_id.clone(),
        upload_source: UPLOAD_SOURCE,
        entity_tag: None,
        webhook_url: session.webhook_url.clone(),
    }
}
