//! Parts of the OpenAPI document that routes share. The product serves the document in docs/. `api_document.rs` generates it from
//! the code with the feature `openapi`, which only tests have.
//!
//! Invariant: both are the same. A test compares them, and the routes with the operations of the document.

#[cfg(feature = "openapi")]
mod errors;

#[cfg(feature = "openapi")]
pub(crate) use errors::{ANY, JSON, KEY, PRIVATE_KEY, responses_by_status};

/// The text of docs/openapi.json.
pub(crate) const TEXT: &str = include_str!("../../../docs/openapi.json");

/// `error_responses!(Name: GROUP, GROUP, [Code, Code])`: a type that represents these errors among the responses of a route.
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
/// Expands to nothing, because no document is generated.
#[cfg(not(feature = "openapi"))]
macro_rules! error_responses {
    ($name:ident: $($group:ident,)* [$($code:ident),* $(,)?]) => {};
}
pub(crate) use error_responses;
