//! The caller of a request. A route needs a key exactly if it takes a [`Caller`] or a [`PrivateCaller`].

use axum::extract::FromRequestParts;
use http::header::AUTHORIZATION;
use http::request::Parts;
use partway_api::ErrorCode;

use crate::app::App;
use crate::error::ApiError;
use crate::model::KeyKind;
use crate::service::key::Identity;

/// The holder of the request's key, from `Authorization: Bearer` or `x-api-key`.
#[derive(Debug, Clone)]
pub(crate) struct Caller(pub Identity);

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let unauthorized = |message: &str| ApiError::new(ErrorCode::Unauthorized, message);
        let key = key_of(parts)
            .ok_or_else(|| unauthorized("there is no API key; send `Authorization: Bearer KEY` or `x-api-key: KEY`"))?;
        let identity = app.keys.identify(key).await?;
        let identity = identity.ok_or_else(|| unauthorized("the API key is unknown or revoked"))?;
        let checked = app.rate_limits.check_key(identity.api_key_id, identity.limits.requests_per_second);
        checked.map_err(|wait| ApiError::rate_limited("this API key", wait))?;
        Ok(Self(identity))
    }
}

/// The holder of a private key.
#[derive(Debug, Clone)]
pub(crate) struct PrivateCaller(pub Identity);

impl FromRequestParts<App> for PrivateCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let Caller(identity) = Caller::from_request_parts(parts, app).await?;
        match identity.kind {
            KeyKind::Private => Ok(Self(identity)),
            KeyKind::Public => {
                Err(ApiError::new(ErrorCode::Forbidden, "the API key is a public one; this needs a private key (sk_…)"))
            }
        }
    }
}

fn key_of(parts: &Parts) -> Option<&str> {
    let bearer = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    let header = || parts.headers.get("x-api-key").and_then(|value| value.to_str().ok()).map(str::trim);
    bearer.or_else(header).filter(|key| !key.is_empty())
}
