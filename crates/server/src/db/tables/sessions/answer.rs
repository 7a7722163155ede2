//! The stored answer of a completed session: repeating the complete request returns it again, even if the file was changed or
//! deleted since.
//!
//! Invariant: the JSON of [`CompletedAnswerV1`] never changes, because databases are full of it. A new form is a new type and a new
//! column, or a migration.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::db::sql::{DbError, Row, Timestamp, columns};
use crate::db::tables::files::File;
use crate::model::StorageKind;

const TABLE: &str = "sessions";

/// A completed file, as the column `completed_file` has it. Fields with a default were added after the first version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct CompletedAnswerV1 {
    id: Uuid,
    file_no: String,
    workspace_id: Uuid,
    folder_id: Option<Uuid>,
    folder_no: Option<String>,
    #[serde(default)]
    folder_name: Option<String>,
    name: String,
    path: String,
    blob_id: Uuid,
    size_bytes: u64,
    mime_type: String,
    #[serde(default)]
    declared_type: Option<String>,
    format: String,
    width: Option<u32>,
    height: Option<u32>,
    hash: Option<String>,
    tags: Vec<String>,
    metadata: Option<Map<String, Value>>,
    custom_id: Option<String>,
    upload_source: String,
    is_duplicate: bool,
    created_at: Timestamp,
    #[serde(default)]
    updated_at: Timestamp,
    #[serde(default)]
    origin_id: Uuid,
    #[serde(default)]
    storage: StorageKind,
    #[serde(default)]
    entity_tag: Option<String>,
}

/// The text that [`from_column`] reads back.
pub(super) fn to_text(file: &File) -> Result<String, DbError> {
    columns::to_json(TABLE, &CompletedAnswerV1::from(file.clone()))
}

/// The file of the answer, if the session is completed. Its key, and what only delivery needs, are not stored.
pub(super) fn from_column(row: &Row<'_>, column: usize) -> Result<Option<File>, DbError> {
    Ok(columns::optional_json::<CompletedAnswerV1>(TABLE, row, column)?.map(File::from))
}

impl From<File> for CompletedAnswerV1 {
    fn from(file: File) -> Self {
        Self {
            id: file.id,
            file_no: file.file_no,
            workspace_id: file.workspace_id,
            folder_id: file.folder_id,
            folder_no: file.folder_no,
            folder_name: file.folder_name,
            name: file.name,
            path: file.path,
            blob_id: file.blob_id,
            size_bytes: file.size_bytes,
            mime_type: file.mime_type,
            declared_type: file.declared_type,
            format: file.format,
            width: file.width,
            height: file.height,
            hash: file.hash,
            tags: file.tags,
            metadata: file.metadata,
            custom_id: file.custom_id,
            upload_source: file.upload_source,
            is_duplicate: file.is_duplicate,
            created_at: file.created_at,
            updated_at: file.updated_at,
            origin_id: file.origin_id,
            storage: file.storage,
            entity_tag: file.entity_tag,
        }
    }
}

impl From<CompletedAnswerV1> for File {
    fn from(answer: CompletedAnswerV1) -> Self {
        Self {
            id: answer.id,
            file_no: answer.file_no,
            workspace_id: answer.workspace_id,
            folder_id: answer.folder_id,
            folder_no: answer.folder_no,
            folder_name: answer.folder_name,
            name: answer.name,
            path: answer.path,
            blob_id: answer.blob_id,
            size_bytes: answer.size_bytes,
            mime_type: answer.mime_type,
            declared_type: answer.declared_type,
            format: answer.format,
            width: answer.width,
            height: answer.height,
            hash: answer.hash,
            tags: answer.tags,
            metadata: answer.metadata,
            custom_id: answer.custom_id,
            upload_source: answer.upload_source,
            is_duplicate: answer.is_duplicate,
            created_at: answer.created_at,
            updated_at: answer.updated_at,
            origin_id: answer.origin_id,
            storage: answer.storage,
            entity_tag: answer.entity_tag,
            api_key_id: None,
            charset: None,
            content_encoding: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer of the first version, and one of this version.
    const FIRST: &str = r#"{"id":"00000000-0000-0000-0000-000000000001","file_no":"abcdefghij","workspace_id":"00000000-0000-0000-0000-000000000002","folder_id":null,"folder_no":null,"name":"a.txt","path":"a.txt","blob_id":"00000000-0000-0000-0000-000000000003","size_bytes":5,"mime_type":"text/plain","format":"txt","width":null,"height":null,"hash":null,"tags":["x"],"metadata":{"k":1},"custom_id":null,"upload_source":"api","is_duplicate":false,"created_at":1700000000000}"#;
    const NEWEST: &str = r#"{"id":"00000000-0000-0000-0000-000000000001","file_no":"abcdefghij","workspace_id":"00000000-0000-0000-0000-000000000002","folder_id":null,"folder_no":null,"folder_name":null,"name":"a.txt","path":"a.txt","blob_id":"00000000-0000-0000-0000-000000000003","size_bytes":5,"mime_type":"text/plain","declared_type":null,"format":"txt","width":null,"height":null,"hash":null,"tags":["x"],"metadata":{"k":1},"custom_id":null,"upload_source":"api","is_duplicate":false,"created_at":1700000000000,"updated_at":0,"origin_id":"00000000-0000-0000-0000-000000000000","storage":"local","entity_tag":null}"#;

    #[test]
    fn the_text_of_an_answer_stays_as_it_is() {
        let answer: CompletedAnswerV1 = serde_json::from_str(FIRST).unwrap();
        assert_eq!(to_text(&File::from(answer)).unwrap(), NEWEST);
        let newest: CompletedAnswerV1 = serde_json::from_str(NEWEST).unwrap();
        assert_eq!(to_text(&File::from(newest)).unwrap(), NEWEST);
    }
}
