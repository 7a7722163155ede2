//! `POST /api/v1/uploads`

use axum::Json;
use axum::extract::{FromRequestParts, Request, State};
use http::StatusCode;
use http::header::CONTENT_LENGTH;
use partway_api::limits::{MAX_FORM_FIELD_BYTES, MAX_FORM_FIELDS};
use partway_api::{ErrorBody, ErrorCode, FileRecord};

use super::form::{FileField, Form};
use crate::app::App;
use crate::db::files::File;
use crate::delivery::headers_at_store;
use crate::error::ApiError;
use crate::input::{FileName, InvalidInput, MediaType, UploadFields};
use crate::middleware::Caller;
use crate::service::key::Identity;
use crate::service::record::file_record;
use crate::service::upload::{Expected, Source, UploadError};

/// What a form may have around its file.
const MAX_AROUND_BYTES: u64 = (MAX_FORM_FIELDS * 2 * MAX_FORM_FIELD_BYTES) as u64;

/// The form of a direct upload.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "for the document")]
pub struct UploadForm {
    /// The file itself. Its fields may come before or behind it.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// Name of the file: 1 to 255 bytes of UTF-8 after NFC, no `/`, `\` or control character, not `.` or `..`.
    #[schema(min_length = 1)]
    file_name: String,
    /// Folder in the workspace; it is created if it is not there.
    folder: Option<String>,
    /// Comma-separated: at most 50 tags of at most 128 characters.
    tags: Option<String>,
    /// The text of a JSON object of at most 16 KiB.
    metadata: Option<String>,
    /// The client's own id of the file.
    custom_id: Option<String>,
    /// `true`: store as `<8 random characters>-<file_name>`.
    random_prefix: Option<String>,
    /// Where to tell that the file is there.
    webhook_url: Option<String>,
    /// `blake3:` and the hash that the file must have.
    hash: Option<String>,
}

/// Upload a file in one request
///
/// For files up to `limits.max_direct_bytes`. The form's fields may come in any order; the file is streamed to storage.
/// Once it answers 201, the bytes and the record are durable.
#[utoipa::path(
    post,
    path = "/api/v1/uploads",
    operation_id = "create_upload",
    tag = "uploads",
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 201, description = "The file", body = FileRecord),
        (status = "4XX", description = "The form or a field is not as it must be, the file is too large, or the key is not good", body = ErrorBody),
        (status = 507, description = "The disk has no room for the file", body = ErrorBody),
    )
)]
pub async fn create_upload(
    State(app): State<App>,
    request: Request,
) -> Result<(StatusCode, Json<FileRecord>), ApiError> {
    // Of what is refused the rest is not read, which a client that keeps its connections must know.
    receive(&app, request).await.map_err(ApiError::closing)
}

async fn receive(app: &App, request: Request) -> Result<(StatusCode, Json<FileRecord>), ApiError> {
    let (mut head, body) = request.into_parts();
    let Caller(identity) = Caller::from_request_parts(&mut head, app).await?;
    let file = store(app, &identity, Request::from_parts(head, body)).await?;
    Ok((StatusCode::CREATED, Json(file_record(file, &identity.workspace_no, &app.urls))))
}

async fn store(app: &App, identity: &Identity, request: Request) -> Result<File, ApiError> {
    let max_bytes = app.config.limits.max_direct.0.min(app.uploads.max_file_bytes(identity));
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > max_bytes.saturating_add(MAX_AROUND_BYTES)) {
        return Err(UploadError::FileTooLarge { limit_bytes: max_bytes }.into());
    }
    let mut form = Form::open(request, app.config.http.stall_timeout.0)?;
    let file = form
        .next_file()
        .await?
        .ok_or_else(|| InvalidInput::new(ErrorCode::FileRequired, "file", "missing", "one file"))?;
    // Mistakes that have been made by now are told before the file is read.
    let known = UploadFields::read(&form.fields())?;
    let content_type = file.content_type();
    let expected = expected(&known, &file, max_bytes, length);
    let received = app.uploads.receive_whole(identity, expected, file.bytes()).await?;
    if form.next_file().await?.is_some() {
        return Err(InvalidInput::new(ErrorCode::InvalidParameter, "file", "there twice", "one file").into());
    }
    let fields = UploadFields::read(&form.fields())?;
    let name = fields.stored_name(None)?;
    let declared = MediaType::guess(content_type.as_deref(), name.as_str());
    Ok(app.uploads.publish_whole(identity, received, name, &declared, fields, Source::Api).await?)
}

/// What is known of the file before it is read. Its name may come behind it.
fn expected(known: &UploadFields, file: &FileField, max_bytes: u64, length: Option<u64>) -> Expected {
    let own_name = || file.own_name().and_then(FileName::nearest);
    let name = known.file_name.clone().or_else(own_name);
    let name = name.as_ref().map_or("file", FileName::as_str);
    let declared = MediaType::guess(file.content_type().as_deref(), name);
    Expected { max_bytes, size_bytes: length, headers: headers_at_store(name, declared.as_str()) }
}
