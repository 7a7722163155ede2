//! `GET /healthz`, `GET /readyz`
//!
//! Invariant: no key is needed for these, so they cost next to nothing however often they are asked. There is at most one check
//! of database and storage at a time, and one begins in a second; all who ask get what it found.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use partway_api::ErrorCode;
use serde::Serialize;
use tokio::task::AbortHandle;

use crate::app::App;
use crate::db::workspaces;
use crate::error::ApiError;
use crate::openapi::error_responses;
use crate::storage::DiskState;

/// How old the answer of a check may be, from its begin, and how long somebody waits for one that is under way.
const LIFETIME: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(10);

/// The answer of a server that is well.
#[derive(Debug, Clone, Copy, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Health {
    /// `ok`
    status: &'static str,
    /// There while the disk is full: files are served and can be deleted, and no upload is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    full_disk: Option<FullDisk>,
}

/// How full a full disk is.
#[derive(Debug, Clone, Copy, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FullDisk {
    /// Bytes that are free.
    free_bytes: u64,
    /// Bytes that files leave free (`storage.min_free_bytes`).
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
pub async fn get_health() -> Json<Health> {
    OK
}

error_responses!(ReadinessErrors: [ServiceUnavailable, Internal]);

/// Whether database and storage answer
///
/// A full disk is told with status 200: files are still served and deleted, and a node that is taken away for it could do neither.
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
pub async fn get_readiness(State(app): State<App>) -> Result<Json<Health>, ApiError> {
    let check = app.readiness.latest(&app);
    match tokio::time::timeout(PATIENCE, check).await {
        Ok(found) => found.map(Json),
        Err(_) => Err(ApiError::failed(ErrorCode::ServiceUnavailable, &NoAnswer)),
    }
}

/// Database or storage hang.
#[derive(Debug, thiserror::Error)]
#[error("database and storage were asked and did not answer within {} s", PATIENCE.as_secs())]
struct NoAnswer;

/// The process had no room for the check, or it panicked.
#[derive(Debug, thiserror::Error)]
#[error("the check did not end")]
struct CheckLost(#[source] tokio::task::JoinError);

type Check = Shared<BoxFuture<'static, Result<Health, ApiError>>>;

struct Latest {
    begun_at: Instant,
    task: AbortHandle,
    check: Check,
}

/// The latest check of database and storage, for all who ask.
#[derive(Default)]
pub struct Readiness {
    latest: Mutex<Option<Latest>>,
    begun: AtomicU64,
}

impl Readiness {
    /// The check that is under way, or began within the last second; otherwise a new one.
    fn latest(&self, app: &App) -> Check {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(latest) = &*latest
            && (!latest.task.is_finished() || latest.begun_at.elapsed() < LIFETIME)
        {
            return latest.check.clone();
        }
        self.begun.fetch_add(1, Ordering::Relaxed);
        // It goes on when those who asked have gone: otherwise each of them would begin another one.
        let running = tokio::spawn(check(app.clone()));
        let task = running.abort_handle();
        let found = async {
            running
                .await
                .unwrap_or_else(|error| Err(ApiError::failed(ErrorCode::ServiceUnavailable, &CheckLost(error))))
        };
        let check = found.boxed().shared();
        *latest = Some(Latest { begun_at: Instant::now(), task, check: check.clone() });
        check
    }

    /// How many checks were begun.
    pub fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }
}

async fn check(app: App) -> Result<Health, ApiError> {
    let unavailable =
        |error: &(dyn std::error::Error + 'static)| ApiError::failed(ErrorCode::ServiceUnavailable, error);
    app.db.read(workspaces::list).await.map_err(|error| unavailable(&error))?;
    app.db.check_writable().await.map_err(|error| unavailable(&error))?;
    for store in app.stores.all() {
        store.check().await.map_err(|error| unavailable(&error))?;
    }
    Ok(Health { status: "ok", full_disk: app.full_disk().await.map(FullDisk::from) })
}
