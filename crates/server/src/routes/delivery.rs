//! `GET, HEAD /{workspace_no}/{path}`

use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State};
use axum::response::Response;
use http::{HeaderMap, Method, Uri};
use partway_api::ErrorCode;

use crate::app::App;
use crate::error::ApiError;
use crate::http::SendRoom;
use crate::input::wanted_version;
use crate::openapi::error_responses;
use crate::serving;

error_responses!(DeliveryErrors: [InvalidParameter, FileNotFound, PreconditionFailed, RangeNotSatisfiable, Internal, ServiceUnavailable]);

/// Fetch a file
///
/// Public. Answers ranges, one or several, and conditional requests. By default, a file in an S3 store is answered by a redirect to
/// the store, which evaluates ranges and conditions itself.
///
/// With `v` of a `version_url`, only that version: another one at the path is answered 412, whatever the range and conditions, and before
/// a redirect. Any other `v` is ignored.
#[cfg_attr(feature = "openapi", utoipa::path(
    get,
    path = "/{workspace_no}/{path}",
    operation_id = "get_file_content",
    tag = "delivery",
    params(
        ("workspace_no" = String, Path, description = "Number of the workspace"),
        ("path" = String, Path, min_length = 1, description = "Folder and name of the file"),
        ("v" = Option<String>, Query, nullable = false, description = "The version that is wanted: that of a `version_url`, which begins with `pw-`"),
        ("Range" = Option<String>, Header, nullable = false, description = "One or several byte ranges"),
        ("If-Range" = Option<String>, Header, nullable = false, description = "Tag or date of the version that the ranges belong to"),
        ("If-Match" = Option<String>, Header, nullable = false, description = "Tags; the file must have one of them"),
        ("If-None-Match" = Option<String>, Header, nullable = false, description = "Tags of the versions that the client has"),
        ("If-Modified-Since" = Option<String>, Header, nullable = false, description = "Date of the version that the client has"),
        ("If-Unmodified-Since" = Option<String>, Header, nullable = false, description = "Date after which the file must not have changed"),
    ),
    responses(
        (
            status = 200,
            description = "The file, with the safer one of its detected and declared types",
            content_type = "*/*",
            body = partway_api::schema::FileBytes,
            headers(
                ("ETag" = String, description = "From the hash of the file"),
                ("Last-Modified" = String, description = "When the file became visible"),
                ("Accept-Ranges" = String, description = "`bytes`"),
                ("Cache-Control" = String, description = "`delivery.cache_control` of the settings; with `v` it allows a year, unless the setting has `private` or `no-store`"),
            ),
        ),
        (
            status = 302,
            description = "The file is in the bucket; `Location` is its URL there",
            headers(("Location" = String, description = "The presigned URL")),
        ),
        (
            status = 206,
            description = "The requested range, or several as `multipart/byteranges`",
            content_type = "*/*",
            body = partway_api::schema::FileBytes,
            headers(("ETag" = String, description = "From the hash of the file")),
        ),
        (status = 304, description = "The client has this version", headers(("ETag" = String, description = "From the hash of the file"))),
        DeliveryErrors,
    )
))]
pub(crate) async fn get_file_content(
    State(app): State<App>,
    path: Result<Path<(String, String)>, PathRejection>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    room: Option<Extension<SendRoom>>,
) -> Result<Response, ApiError> {
    let not_found = |path: &str| ApiError::new(ErrorCode::FileNotFound, format!("there is no file at {path:?}"));
    let Path((workspace_no, path)) = path.map_err(|_| {
        ApiError::new(ErrorCode::FileNotFound, "the path of the URL is not UTF-8; allowed: percent-encoded UTF-8")
    })?;
    let wanted = wanted_version(uri.query().unwrap_or_default())?;
    let found = app.representations.find(&workspace_no, &path, wanted.as_ref()).await?;
    let room = room.map_or_else(SendRoom::endless, |Extension(room)| room);
    serving::respond(&method, &headers, found.ok_or_else(|| not_found(&path))?, room).await
}
