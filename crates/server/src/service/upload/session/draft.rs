//! The file that a session is to become.

use crate::db::sessions::Session;
use crate::input::MediaType;
use crate::media::{FileType, Pictures};
use crate::service::publish::FileDraft;

/// `upload_source` of files that clients send.
pub(in crate::service::upload) const UPLOAD_SOURCE: &str = "api";

/// The type of the session's file, judged by its first bytes.
pub(in crate::service::upload) fn file_type(session: &Session, head: &[u8]) -> FileType {
    // It was checked when the session was started.
    let declared = MediaType::parse(&session.mime_type).ok();
    FileType::of(head, declared.as_ref(), &session.file_name)
}

/// The `Content-Type` with which a store makes the session's file, before its bytes are known.
pub(in crate::service::upload) fn likely_content_type(session: &Session) -> String {
    MediaType::likely(MediaType::parse(&session.mime_type).ok(), &session.file_name).content_type()
}

/// The session's file, ready to be published.
pub(in crate::service::upload) fn draft(
    session: &Session,
    file_type: FileType,
    hash: Option<String>,
    pictures: Pictures,
) -> FileDraft {
    FileDraft {
        id: session.file_id,
        workspace_id: session.workspace_id,
        api_key_id: session.api_key_id,
        folder: session.folder.clone(),
        name: session.file_name.clone(),
        blob: session.blob(),
        size_bytes: session.size_bytes,
        file_type: file_type.with(pictures),
        dimensions: pictures.dimensions(),
        hash,
        tags: session.tags.clone(),
        metadata: session.metadata.clone(),
        custom_id: session.custom_id.clone(),
        upload_source: UPLOAD_SOURCE,
        entity_tag: None,
        webhook_url: session.webhook_url.clone(),
    }
}
