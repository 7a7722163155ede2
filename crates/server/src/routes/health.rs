//! `GET /healthz`, `GET /readyz`

use axum::Json;
use axum::extract::State;
use partway_api::ErrorCode;
use serde::Serialize;

use crate::app::App;
use crate::db::workspaces;
use crate::error::ApiError;
use crate::openapi::error_responses;

/// The answer of a server that is well.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Health {
    /// `ok`
    status: &'static str,
}

const OK: Json<Health> = Json(Health { status: "ok" });

/// Whether the process answers
#[utoipa::path(get, path = "/healthz", operation_id = "get_health", tag = "service", responses((status = 200, description = "It does", body = Health)))]
pub async fn get_health() -> Json<Health> {
    OK
}

error_responses!(ReadinessErrors: [ServiceUnavailable, Internal]);

/// Whether database and storage answer
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "get_readiness",
    tag = "service",
    responses(
        (status = 200, description = "They do", body = Health),
        ReadinessErrors,
    )
)]
pub async fn get_readiness(State(app): State<App>) -> Result<Json<Health>, ApiError> {
    let unavailable =
        |error: &(dyn std::error::Error + 'static)| ApiError::failed(ErrorCode::ServiceUnavailable, error);
    app.db.read(workspaces::list).await.map_err(|error| unavailable(&error))?;
    for store in app.stores.all() {
        store.check().await.map_err(|error| unavailable(&error))?;
    }
    Ok(OK)
}
