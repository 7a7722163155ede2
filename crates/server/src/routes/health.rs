//! `GET /healthz`, `GET /readyz`

use axum::Json;
use axum::extract::State;
use partway_api::ErrorCode;
use serde::Serialize;

use crate::app::App;
use crate::error::ApiError;
use crate::openapi::error_responses;
use crate::service::readiness::DiskState;

/// The answer of a healthy server.
#[derive(Debug, Clone, Copy, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(crate) struct Health {
    /// `ok`
    status: &'static str,
    /// Present while the disk is full: files are served and can be deleted, and no upload is accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    full_disk: Option<FullDisk>,
}

/// How full a full disk is.
#[derive(Debug, Clone, Copy, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(crate) struct FullDisk {
    /// Bytes that are free.
    free_bytes: u64,
    /// Bytes that uploads leave free (`storage.min_free_bytes`).
    kept_bytes: u64,
}

impl From<DiskState> for FullDisk {
    fn from(disk: DiskState) -> Self {
        Self { free_bytes: disk.free_bytes, kept_bytes: disk.kept_bytes }
    }
}

const OK: Json<Health> = Json(Health { status: "ok", full_disk: None });

/// Whether the process answers
#[cfg_attr(feature = "openapi", utoipa::path(get, path = "/healthz", operation_id = "get_health", tag = "service", responses((status = 200, description = "It does", body = Health))))]
pub(crate) async fn get_health() -> Json<Health> {
    OK
}

error_responses!(ReadinessErrors: [ServiceUnavailable, Internal]);

/// Whether database and storage answer
///
/// A full disk is reported with status 200: the node still serves and deletes files, which it could not once it is taken out of service.
#[cfg_attr(feature = "openapi", utoipa::path(
    get,
    path = "/readyz",
    operation_id = "get_readiness",
    tag = "service",
    responses(
        (status = 200, description = "They do", body = Health),
        ReadinessErrors,
    )
))]
pub(crate) async fn get_readiness(State(app): State<App>) -> Result<Json<Health>, ApiError> {
    match app.readiness.check().await {
        Ok(full_disk) => Ok(Json(Health { status: "ok", full_disk: full_disk.map(FullDisk::from) })),
        Err(not_ready) => Err(ApiError::failed(ErrorCode::ServiceUnavailable, &not_ready)),
    }
}
