//! `GET /api/v1/multipart`

use axum::Json;
use axum::extract::State;
use partway_api::{ErrorCode, PageMeta, PartPlan, SessionList, SessionSummary};

use crate::app::App;
use crate::db::sessions::ListedSession;
use crate::error::ApiError;
use crate::extract::{Parameters, PrivateCaller};
use crate::input::{InvalidInput, quote_for_message};
use crate::model::{SessionStatus as Status, StorageKind};
use crate::openapi::error_responses;
use crate::service::upload::Uploads;

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
    let sessions = listed.sessions.into_iter().map(|session| summary(session, &app.uploads)).collect();
    Ok(Json(SessionList { sessions, meta: PageMeta::new(page, limit, listed.total) }))
}

fn status(text: &str) -> Result<Status, InvalidInput> {
    Status::parse(text).ok_or_else(|| {
        let allowed = Status::ALL.map(Status::as_str).join(", ");
        InvalidInput::new(ErrorCode::InvalidParameter, "status", quote_for_message(text), allowed)
    })
}

fn summary(listed: ListedSession, uploads: &Uploads) -> SessionSummary {
    let ListedSession { session, recorded_parts, last_recorded_part } = listed;
    let plan = PartPlan::from_stored(session.size_bytes, session.part_size_bytes);
    let parts_total = plan.map_or(0, |plan| plan.parts());
    let (parts_uploaded, bytes_uploaded) = match session.status {
        Status::Completed => (Some(parts_total), Some(session.size_bytes)),
        // Their parts are deleted, or about to be.
        Status::Aborted | Status::Expired => (Some(0), Some(0)),
        // Only the store knows, and a list does not ask it once per row.
        Status::Uploading if session.storage == StorageKind::S3 => (None, None),
        Status::Uploading => {
            let has_last = last_recorded_part.is_some_and(|index| index + 1 == parts_total);
            // All parts but the last are equal.
            let not_there = if has_last {
                u64::from(parts_total - recorded_parts) * session.part_size_bytes
            } else {
                session.size_bytes.saturating_sub(u64::from(recorded_parts) * session.part_size_bytes)
            };
            (Some(recorded_parts), Some(session.size_bytes - not_there))
        }
    };
    SessionSummary {
        verifying: uploads.needs_verification(&session),
        session_id: session.id.to_string(),
        uuid: session.file_id.to_string(),
        status: session.status.as_str().to_owned(),
        file_name: session.file_name,
        size: session.size_bytes,
        part_size: session.part_size_bytes,
        parts_total,
        parts_uploaded,
        bytes_uploaded,
        created_at: session.created_at.to_iso8601(),
        expire_at: session.expires_at.unix_seconds(),
    }
}
