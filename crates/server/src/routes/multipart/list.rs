//! `GET /api/v1/multipart`

use axum::Json;
use axum::extract::State;
use partway_api::{ErrorCode, PageMeta, SessionList, SessionSummary};

use crate::app::App;
use crate::error::ApiError;
use crate::extract::{Parameters, PrivateCaller};
use crate::input::{InvalidInput, quote_for_message};
use crate::model::SessionStatus as Status;
use crate::openapi::error_responses;
use crate::service::upload::SessionInList;

error_responses!(ListErrors: ANY, PRIVATE_KEY, [InvalidParameter]);

/// List upload sessions
#[cfg_attr(feature = "openapi", utoipa::path(
    get,
    path = "/api/v1/multipart",
    operation_id = "list_multipart",
    tag = "multipart",
    params(
        ("status" = Option<String>, Query, nullable = false, pattern = "^(uploading|completed|aborted|expired)?$", description = "`uploading`, `completed`, `aborted` or `expired`; all when it is not given"),
        ("page" = Option<u32>, Query, nullable = false, minimum = 1, maximum = 10_000_000, description = "The page, from 1"),
        ("limit" = Option<u32>, Query, nullable = false, minimum = 1, maximum = 100, description = "Rows on a page: 1 to 100, by default 20"),
    ),
    responses(
        (status = 200, description = "The sessions, newest first", body = SessionList),
        ListErrors,
    )
))]
pub(crate) async fn list_multipart(
    State(app): State<App>,
    PrivateCaller(identity): PrivateCaller,
    parameters: Parameters,
) -> Result<Json<SessionList>, ApiError> {
    let status = parameters.get("status").map(status).transpose()?;
    let (page, limit) = parameters.page()?;
    let listed = app.uploads.list(&identity, status, page, limit).await?;
    let sessions = listed.sessions.into_iter().map(summary).collect();
    Ok(Json(SessionList { sessions, meta: PageMeta::new(page, limit, listed.total) }))
}

fn status(text: &str) -> Result<Status, InvalidInput> {
    Status::parse(text).ok_or_else(|| {
        let allowed = Status::ALL.map(Status::as_str).join(", ");
        InvalidInput::new(ErrorCode::InvalidParameter, "status", quote_for_message(text), allowed)
    })
}

fn summary(listed: SessionInList) -> SessionSummary {
    let SessionInList { session, parts_total, uploaded, is_verifying } = listed;
    SessionSummary {
        verifying: is_verifying,
        session_id: session.id.to_string(),
        uuid: session.file_id.to_string(),
        status: session.status.as_str().to_owned(),
        file_name: session.file_name,
        size: session.size_bytes,
        part_size: session.part_size_bytes,
        parts_total,
        parts_uploaded: uploaded.map(|uploaded| uploaded.parts),
        bytes_uploaded: uploaded.map(|uploaded| uploaded.bytes),
        created_at: session.created_at.to_iso8601(),
        expire_at: session.expires_at.unix_seconds(),
    }
}
