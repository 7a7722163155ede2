//! `GET /api/v1/multipart/{session_id}`

use axum::Json;
use axum::extract::State;
use partway_api::SessionResponse;

use crate::app::App;
use crate::error::ApiError;
use crate::extract::Caller;
use crate::extract::PathId;
use crate::input::HashKind;
use crate::openapi::error_responses;
use crate::service::file_dto::file_record;

error_responses!(StatusErrors: ANY, KEY, [Forbidden, SessionNotFound, SessionExpired]);

/// Look at an upload
///
/// Says which parts are there and which are missing.
#[cfg_attr(feature = "openapi", utoipa::path(
    get,
    path = "/api/v1/multipart/{session_id}",
    operation_id = "get_multipart",
    tag = "multipart",
    params(("session_id" = String, Path, format = "uuid", description = "The session")),
    responses(
        (status = 200, description = "The session", body = SessionResponse),
        StatusErrors,
    )
))]
pub(crate) async fn get_multipart(
    State(app): State<App>,
    Caller(identity): Caller,
    PathId(session_id): PathId,
) -> Result<Json<SessionResponse>, ApiError> {
    let state = app.uploads.state(&identity, &session_id).await?;
    let bytes_uploaded = state.bytes_uploaded();
    let session = state.session;
    let hash_kind = app.uploads.hash_kind(session.storage).await;
    Ok(Json(SessionResponse {
        session_id: session.id.to_string(),
        uuid: session.file_id.to_string(),
        status: session.status.as_str().to_owned(),
        file_name: session.file_name,
        size: session.size_bytes,
        part_size: session.part_size_bytes,
        parts_total: state.plan.parts(),
        uploaded_parts: state.uploaded,
        missing_parts: state.missing,
        part_etags: state.etags,
        bytes_uploaded,
        created_at: session.created_at.to_iso8601(),
        expire_at: state.expires_at.unix_seconds(),
        hash_algorithm: HashKind::name_of(hash_kind).to_owned(),
        file: session.completed_file.map(|file| file_record(file, &identity.workspace_no, &app.urls)),
    }))
}
