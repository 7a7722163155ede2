//! The OpenAPI document. The product serves the one in docs/; only with the feature `openapi`, which tests have, is it generated
//! from the code.
//!
//! Invariant: both are the same. A test compares them, and the routes with the operations of the document.

#[cfg(feature = "openapi")]
mod generated;

#[cfg(feature = "openapi")]
pub use generated::document;
#[cfg(feature = "openapi")]
pub(crate) use generated::{ANY, JSON, KEY, PRIVATE_KEY, responses_by_status};

/// Method and path of each route that the document describes, but for delivery.
pub use crate::router::DOCUMENTED as ROUTES;

/// docs/openapi.json, as it is answered.
pub(crate) const TEXT: &str = include_str!("../../../docs/openapi.json");

/// `error_responses!(Name: GROUP, GROUP, [Code, Code])`: a type that stands for these errors among the responses of a route.
#[cfg(feature = "openapi")]
macro_rules! error_responses {
    ($name:ident: $($group:ident,)* [$($code:ident),* $(,)?]) => {
        pub(super) enum $name {}

        impl utoipa::IntoResponses for $name {
            fn responses()
            -> std::collections::BTreeMap<String, utoipa::openapi::RefOr<utoipa::openapi::response::Response>> {
                crate::openapi::responses_by_status(&[$(crate::openapi::$group,)* &[$(partway_api::ErrorCode::$code),*]])
            }
        }
    };
}
/// Nothing: no document is generated.
#[cfg(not(feature = "openapi"))]
macro_rules! error_responses {
    ($name:ident: $($group:ident,)* [$($code:ident),* $(,)?]) => {};
}
pub(crate) use error_responses;
