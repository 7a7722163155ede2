//! One file per endpoint, mirroring the URLs. A handler extracts, calls a service, and answers.

pub mod delivery;
pub mod files;
pub mod folders;
pub mod health;
pub mod multipart;
pub mod openapi_document;
pub mod uploads;

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;

/// The id in the path of a route that has one parameter. What is no UTF-8 is an id that nothing has: the service says so, as
/// of every other one.
#[derive(Debug)]
pub(crate) struct PathId(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let id = Path::<String>::from_request_parts(parts, state).await;
        Ok(Self(id.map_or_else(|_| char::REPLACEMENT_CHARACTER.to_string(), |Path(id)| id)))
    }
}
