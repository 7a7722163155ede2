//! `POST /api/v1/multipart/start`

use axum::Json;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use partway_api::limits::MIN_PART_SIZE_BYTES;
use partway_api::{PartLimits, PartPlan, Policy, StartResponse};

use super::part_urls;
use crate::app::App;
use crate::error::ApiError;
use crate::extract::{ApiJson, Caller};
use crate::input::{HashKind, IdempotencyKey, StartUpload};
use crate::model::KeyKind;
use crate::openapi::error_responses;
use crate::service::key::public_key;
use crate::service::upload::{Idempotency, Started};

error_responses!(StartErrors: ANY, KEY, JSON, [FileNameRequired, InvalidFileName, InvalidSize, InvalidFormat, InvalidFolder, InvalidTags, InvalidMetadata, InvalidCustomId, InvalidTtl, InvalidParameter, Forbidden, StorageLimitExceeded, FileExists, IdempotencyKeyReused, FileTooLarge, InsufficientStorage]);

/// Start an upload
///
/// Answers a session, a part size, and one presigned URL per part. PUT each part to its URL, in any order and at
/// once, then complete.
#[cfg_attr(feature = "openapi", utoipa::path(
    post,
    path = "/api/v1/multipart/start",
    operation_id = "start_multipart",
    tag = "multipart",
    params(("Idempotency-Key" = Option<String>, Header, nullable = false, pattern = "^[!-~]{1,255}$", description = "The same key with the same body answers the same session for 24 hours")),
    request_body = partway_api::StartRequest,
    responses(
        (
            status = 201,
            description = "The session",
            body = StartResponse,
            links(
                ("get_multipart" = (operation_id = "get_multipart", parameters(("session_id" = "$response.body#/session_id")))),
                ("resign_multipart" = (operation_id = "resign_multipart", parameters(("session_id" = "$response.body#/session_id")))),
                ("complete_multipart" = (operation_id = "complete_multipart", request_body = json!({"session_id": "$response.body#/session_id"}))),
                ("abort_multipart" = (operation_id = "abort_multipart", parameters(("session_id" = "$response.body#/session_id")))),
            ),
        ),
        StartErrors,
    )
))]
pub(crate) async fn start_multipart(
    State(app): State<App>,
    Caller(identity): Caller,
    headers: HeaderMap,
    ApiJson(body): ApiJson,
) -> Result<(StatusCode, Json<StartResponse>), ApiError> {
    let key = headers.get("idempotency-key").map(IdempotencyKey::parse).transpose()?;
    let idempotency = key.map(|key| Idempotency { key, request_sha256: body.sha256() });
    let upload = StartUpload::read(&body, &app.uploads.rules(&identity))?;
    let started = app.uploads.start(&identity, upload, idempotency).await?;
    let public_key_id =
        if identity.kind == KeyKind::Public { Some(identity.api_key_id) } else { started.public_key_id };
    let shown_key = public_key_id.map(|id| public_key(&app.secrets.public_keys, id)).unwrap_or_default();
    let hash_kind = app.uploads.hash_kind(started.session.storage).await;
    Ok((StatusCode::CREATED, Json(response(&app, started, shown_key, hash_kind).await?)))
}

async fn response(
    app: &App,
    started: Started,
    public_key: String,
    hash_kind: Option<HashKind>,
) -> Result<StartResponse, ApiError> {
    let Started { session, plan, store_urls, .. } = started;
    let parts = match store_urls {
        Some(urls) => urls,
        None => part_urls(&app.urls, session.id, plan, (0..plan.parts()).collect(), session.expires_at).await?,
    };
    let part_sizes = PartPlan::sizes(plan.size_bytes(), app.uploads.min_part_bytes());
    let limits = PartLimits { min_part_bytes: *part_sizes.start(), max_part_bytes: *part_sizes.end() };
    Ok(StartResponse {
        limits: Some(limits),
        session_id: session.id.to_string(),
        part_size: plan.part_size_bytes(),
        parts,
        uuid: session.file_id.to_string(),
        min_part_size: MIN_PART_SIZE_BYTES.min(plan.part_size_bytes()),
        expire_at: session.expires_at.unix_seconds(),
        public_key,
        workspace_id: session.workspace_id.to_string(),
        hash_algorithm: HashKind::name_of(hash_kind).to_owned(),
        policy: Policy {
            folder: session.folder,
            tags: session.tags,
            size: session.size_bytes,
            format: session.mime_type,
        },
    })
}
