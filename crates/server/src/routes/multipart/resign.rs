//! `POST /api/v1/multipart/{session_id}/parts`

use axum::Json;
use axum::extract::{Path, State};
use partway_api::{ErrorBody, PartUrl, ResignRequest, ResignResponse};

use super::part_url;
use crate::app::App;
use crate::error::ApiError;
use crate::input::ResignParts;
use crate::middleware::{ApiJson, Caller};

/// Get new URLs for parts
///
/// For the parts named, or all that are missing. The session lives on at least until the URLs expire.
#[utoipa::path(
    post,
    path = "/api/v1/multipart/{session_id}/parts",
    operation_id = "resign_multipart",
    tag = "multipart",
    params(("session_id" = String, Path, description = "The session")),
    request_body = ResignRequest,
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 200, description = "The URLs", body = ResignResponse),
        (status = "4XX", description = "A field is not as it must be, the session is unknown or has ended, or the key is not good", body = ErrorBody),
        (status = 503, description = "The parts are being verified after an unclean stop; `Retry-After` says when to come again", body = ErrorBody),
    )
)]
pub async fn resign_multipart(
    State(app): State<App>,
    Caller(identity): Caller,
    Path(session_id): Path<String>,
    ApiJson(body): ApiJson,
) -> Result<Json<ResignResponse>, ApiError> {
    let ResignParts { parts, ttl_seconds } = ResignParts::read(&body)?;
    let resigned = app.uploads.resign(&identity, &session_id, parts, ttl_seconds).await?;
    let (id, plan, expires_at) = (resigned.session_id, resigned.plan, resigned.expires_at);
    let urls = resigned.store_urls.unwrap_or_else(|| {
        resigned.parts.iter().map(|index| part_url(&app.urls, id, &plan, *index, expires_at)).collect()
    });
    let parts = resigned.parts.into_iter().zip(urls).map(|(index, url)| PartUrl { index, url }).collect();
    Ok(Json(ResignResponse { part_size: plan.part_size_bytes(), parts, expire_at: expires_at.unix_seconds() }))
}
