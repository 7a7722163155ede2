//! `PATCH /api/v1/files/{file_no}`

use axum::Json;
use axum::extract::State;
use partway_api::{ErrorCode, FileResponse};
use serde_json::Value;

use super::response;
use crate::app::App;
use crate::error::ApiError;
use crate::extract::PathId;
use crate::extract::{ApiJson, PrivateCaller};
use crate::input::{InvalidInput, Tags, quote_for_message};
use crate::openapi::error_responses;
use crate::service::file::FileChange;

error_responses!(UpdateErrors: ANY, PRIVATE_KEY, JSON, [InvalidTags, InvalidMetadata, FileNotFound, InsufficientStorage]);

/// Change a file's tags and metadata
#[cfg_attr(feature = "openapi", utoipa::path(
    patch,
    path = "/api/v1/files/{file_no}",
    operation_id = "update_file",
    tag = "files",
    params(("file_no" = String, Path, description = "Number of the file")),
    request_body = partway_api::UpdateFileRequest,
    responses(
        (status = 200, description = "The file as it is now", body = FileResponse),
        UpdateErrors,
    )
))]
pub(crate) async fn update_file(
    State(app): State<App>,
    PrivateCaller(identity): PrivateCaller,
    PathId(file_no): PathId,
    ApiJson(body): ApiJson,
) -> Result<Json<FileResponse>, ApiError> {
    let tags = |field| body.get(field).map(|value| Tags::parse_field(value, field)).transpose();
    let metadata = match body.get("metadata") {
        None => None,
        Some(Value::Object(members)) => Some(members.clone()),
        Some(other) => {
            let allowed = "a JSON object";
            return Err(
                InvalidInput::new(ErrorCode::InvalidMetadata, "metadata", quote_for_message(other), allowed).into()
            );
        }
    };
    let change = FileChange {
        add_tags: tags("add_tags")?.unwrap_or_default(),
        remove_tags: tags("remove_tags")?.unwrap_or_default(),
        metadata,
    };
    let file = app.files.update(&identity, file_no, change).await?;
    Ok(response(&app, &identity, file))
}
