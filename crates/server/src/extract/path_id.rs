//! The id in a path.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;

/// The id in the path of a route that has one parameter. Invalid UTF-8 becomes U+FFFD, which no id has, so that the service
/// answers 404 as for any unknown id.
#[derive(Debug)]
pub(crate) struct PathId(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let id = Path::<String>::from_request_parts(parts, state).await;
        Ok(Self(id.map_or_else(|_| char::REPLACEMENT_CHARACTER.to_string(), |Path(id)| id)))
    }
}
