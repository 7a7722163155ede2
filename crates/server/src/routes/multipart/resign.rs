//! `POST /api/v1/multipart/{session_id}/parts`

use axum::Json;
use axum::extract::State;
use partway_api::{PartUrl, ResignResponse};

use super::part_urls;
use crate::app::App;
use crate::error::ApiError;
use crate::extract::PathId;
use crate::extract::{ApiJson, Caller};
use crate::input::ResignParts;
use crate::openapi::error_responses;

error_responses!(ResignErrors: ANY, KEY, JSON, [InvalidParameter, InvalidTtl, Forbidden, SessionNotFound, SessionCompleted, SessionExpired, SessionAborted, InsufficientStorage]);

/// Get new URLs for parts
///
/// For the parts named, or all that are missing. The session lives on at least until the URLs expire.
#[cfg_attr(feature = "openapi", utoipa::path(
    post,
    path = "/api/v1/multipart/{session_id}/parts",
    operation_id = "resign_multipart",
    tag = "multipart",
    params(("session_id" = String, Path, format = "uuid", description = "The session")),
    request_body = partway_api::ResignRequest,
    responses(
        (status = 200, description = "The URLs", body = ResignResponse),
        ResignErrors,
    )
))]
pub(crate) async fn resign_multipart(
    State(app): State<App>,
    Caller(identity): Caller,
    PathId(session_id): PathId,
    ApiJson(body): ApiJson,
) -> Result<Json<ResignResponse>, ApiError> {
    let ResignParts { parts, ttl_seconds } = ResignParts::read(&body)?;
    let resigned = app.uploads.resign(&identity, &session_id, parts, ttl_seconds).await?;
    let (id, plan, expires_at) = (resigned.session_id, resigned.plan, resigned.expires_at);
    let urls = match resigned.store_urls {
        Some(urls) => urls,
        None => part_urls(&app.urls, id, plan, resigned.parts.clone(), expires_at).await?,
    };
    let parts = resigned.parts.into_iter().zip(urls).map(|(index, url)| PartUrl { index, url }).collect();
    Ok(Json(ResignResponse { part_size: plan.part_size_bytes(), parts, expire_at: expires_at.unix_seconds() }))
}
