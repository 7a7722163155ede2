//! `POST /api/v1/uploads`

use axum::Json;
use axum::extract::{Request, State};
use http::StatusCode;
use http::header::CONTENT_LENGTH;
use partway_api::limits::{MAX_FORM_FIELD_BYTES, MAX_FORM_FIELDS};
use partway_api::{ErrorCode, FileRecord};

use super::form::{FileField, Form};
use crate::app::App;
use crate::db::files::File;
use crate::error::ApiError;
use crate::extract::Caller;
use crate::input::{FileName, InvalidInput, MediaType, SizeLimit, UploadFields};
use crate::openapi::error_responses;
use crate::pace::PaceLimits;
use crate::service::file_dto::file_record;
use crate::service::key::Identity;
use crate::service::public_keys::check_webhook_url;
use crate::service::upload::{DirectUploadHints, MOST_IN_ONE_REQUEST, UploadError, UploadOrigin};
use crate::storage::BlobHeaders;

/// What a form may have around its file.
const MAX_AROUND_BYTES: u64 = (MAX_FORM_FIELDS * 2 * MAX_FORM_FIELD_BYTES) as u64;

/// The form of a direct upload.
#[cfg(feature = "openapi")]
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "for the document")]
pub struct UploadForm {
    /// The file itself. Its fields may come before or behind it.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// Name of the file: 1 to 255 bytes of UTF-8 after NFC, no `/`, `\` or control character, not `.` or `..`.
    #[schema(value_type = partway_api::schema::FileName)]
    file_name: String,
    /// Folder in the workspace; it is created if it is not there.
    #[schema(value_type = partway_api::schema::FolderPath, required = false)]
    folder: Option<String>,
    /// Comma-separated: at most 50 tags of at most 128 characters.
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
    /// Where to tell that the file is there.
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
pub async fn create_upload(
    State(app): State<App>,
    Caller(identity): Caller,
    request: Request,
) -> Result<(StatusCode, Json<FileRecord>), ApiError> {
    let file = store(&app, &identity, request).await?;
    Ok((StatusCode::CREATED, Json(file_record(file, &identity.workspace_no, &app.urls))))
}

async fn store(app: &App, identity: &Identity, request: Request) -> Result<File, ApiError> {
    let max_file = max_file(app, identity);
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > max_file.bytes.saturating_add(MAX_AROUND_BYTES)) {
        return Err(UploadError::FileTooLarge(max_file).into());
    }
    let _turn = app.uploads.begin_direct(identity).await?;
    let longest = app.uploads.longest_time(identity);
    let mut form = Form::open(request, PaceLimits::new(&app.config.http), longest)?;
    let file = form
        .next_file()
        .await?
        .ok_or_else(|| InvalidInput::new(ErrorCode::FileRequired, "file", "missing", "one file"))?;
    // Mistakes that have been made by now are told before the file is read.
    let known = form.fields()?.with_prefix(identity.permissions.random_prefix);
    let content_type = file.content_type();
    known.check_before_bytes()?;
    check_webhook_url(identity, known.webhook_url.as_ref())?;
    app.uploads.check_webhook(known.webhook_url.as_ref()).await?;
    // Fields after the file may still change the path of a form that has not said so far.
    if let (Some(name), true, false) = (&known.file_name, form.has("folder"), known.random_prefix) {
        app.uploads.check_path(identity, &known.folder, name).await?;
    }
    let expected = expected(&known, &file, max_file, length);
    let received = app.uploads.receive_whole(identity, expected, file.bytes()).await?;
    let (fields, name) = match rest(app, identity, &mut form, &known).await {
        Ok(rest) => rest,
        Err(error) => {
            received.give_up().await?;
            return Err(error.into());
        }
    };
    let declared = MediaType::guess(content_type.as_deref(), name.as_str());
    Ok(app.uploads.publish_whole(identity, received, name, &declared, fields, UploadOrigin::Api).await?)
}

/// Most bytes of a file that the caller sends in one request.
fn max_file(app: &App, identity: &Identity) -> SizeLimit {
    let (of_file, in_one_request) = (app.uploads.max_file(identity), app.config.limits.max_direct_bytes);
    match of_file.bytes > in_one_request || !identity.is_public() {
        true => SizeLimit { bytes: of_file.bytes.min(in_one_request), whose: MOST_IN_ONE_REQUEST },
        false => of_file,
    }
}

/// What the form says in all, once its file has been read.
async fn rest(
    app: &App,
    identity: &Identity,
    form: &mut Form,
    known: &UploadFields,
) -> Result<(UploadFields, FileName), UploadError> {
    // A second file is refused there.
    form.next_file().await?;
    let fields = form.fields()?.with_prefix(identity.permissions.random_prefix);
    fields.check_before_bytes()?;
    if fields.webhook_url != known.webhook_url {
        check_webhook_url(identity, fields.webhook_url.as_ref())?;
        app.uploads.check_webhook(fields.webhook_url.as_ref()).await?;
    }
    let name = fields.stored_name(None)?;
    Ok((fields, name))
}

/// What is known of the file before it is read. Its name may come behind it.
fn expected(known: &UploadFields, file: &FileField, max_file: SizeLimit, length: Option<u64>) -> DirectUploadHints {
    let own_name = || file.own_name().and_then(FileName::nearest);
    let name = known.file_name.clone().or_else(own_name);
    let name = name.as_ref().map_or("file", FileName::as_str);
    let declared = MediaType::guess(file.content_type().as_deref(), name);
    let at_least_bytes = length.map(|length| length.saturating_sub(MAX_AROUND_BYTES));
    DirectUploadHints {
        max_file,
        at_least_bytes,
        about_bytes: length,
        headers: BlobHeaders::of_file(name, declared.as_str()),
    }
}
