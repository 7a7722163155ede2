//! `POST /api/v1/uploads`

use axum::Json;
use axum::extract::{Request, State};
use http::StatusCode;
use partway_api::FileRecord;

use super::form::{self, Form};
use crate::app::App;
use crate::error::ApiError;
use crate::extract::Caller;
use crate::openapi::error_responses;
use crate::pace::PaceLimits;
use crate::service::file_dto::file_record;

/// The form of a direct upload.
#[cfg(feature = "openapi")]
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "for the document")]
pub(crate) struct UploadForm {
    /// The file itself. The other fields may come before or after it.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// Name of the file: 1 to 255 bytes of UTF-8 after NFC, no `/`, `\` or control character, not `.` or `..`.
    #[schema(value_type = partway_api::schema::FileName)]
    file_name: String,
    /// Folder in the workspace; it is created if it is not there.
    #[schema(value_type = partway_api::schema::FolderPath, required = false)]
    folder: Option<String>,
    /// At most 50 tags of at most 128 characters: comma-separated, or a JSON list of strings. The field may be repeated, and fields
    /// named `tags[]`, `tags[0]`, `tags[1]` … have one tag each. All of them are taken.
    #[schema(value_type = partway_api::schema::TagList, required = false)]
    tags: Option<String>,
    /// The text of a JSON object of at most 16 KiB.
    #[schema(
        content_media_type = "application/json",
        pattern = r"^([ \t\r\n]*\{[^\x00]*\}[ \t\r\n]*)?$",
        nullable = false
    )]
    metadata: Option<String>,
    /// The client's own id of the file.
    #[schema(value_type = partway_api::schema::CustomId, required = false)]
    custom_id: Option<String>,
    /// `true`: store as `<8 random characters>-<file_name>`.
    #[schema(pattern = "^(true|false)?$", nullable = false)]
    random_prefix: Option<String>,
    /// URL that is notified when the file is there.
    #[schema(
        max_length = 2048,
        pattern = r"^([Hh][Tt][Tt][Pp][Ss]?://[^\x00-\x20/?#@\\]+([/?#][^\x00-\x20]*)?)?$",
        nullable = false
    )]
    webhook_url: Option<String>,
    /// `blake3:` and the hash that the file must have.
    #[schema(
        pattern = r"^((blake3:[0-9A-Fa-f]{64}|crc64nvme:[0-9A-Za-z+/]{10}[AEIMQUYcgkosw048]=))?$",
        nullable = false
    )]
    hash: Option<String>,
}

error_responses!(UploadErrors: ANY, KEY, [FileRequired, FileNameRequired, InvalidFileName, InvalidFolder, InvalidTags, InvalidMetadata, InvalidCustomId, InvalidParameter, ChecksumMismatch, PartSizeMismatch, Forbidden, StorageLimitExceeded, RequestTimeout, FileExists, FileTooLarge, PayloadTooLarge, UnsupportedMediaType, InsufficientStorage]);

/// Upload a file in one request
///
/// For files up to `limits.max_direct_bytes`. The form's fields may come in any order; the file is streamed to storage.
/// Once it answers 201, the bytes and the record are durable. A public key replaces only files that were made with it; a form
/// that says `file_name` and `folder` before its file is refused before the file is read, so a `random_prefix` belongs there, too.
#[cfg_attr(feature = "openapi", utoipa::path(
    post,
    path = "/api/v1/uploads",
    operation_id = "create_upload",
    tag = "uploads",
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses(
        (status = 201, description = "The file", body = FileRecord),
        UploadErrors,
    )
))]
pub(crate) async fn create_upload(
    State(app): State<App>,
    Caller(identity): Caller,
    request: Request,
) -> Result<(StatusCode, Json<FileRecord>), ApiError> {
    let (pace, longest) = (PaceLimits::new(&app.config.http), app.uploads.longest_time(&identity));
    let at_least_bytes = form::at_least_bytes(&request);
    let open = || Ok(Form::open(request, pace, longest)?);
    let file = app.uploads.receive_direct(&identity, at_least_bytes, open).await?;
    Ok((StatusCode::CREATED, Json(file_record(file, &identity.workspace_no, &app.urls))))
}
