//! Parts of the OpenAPI document that routes share. The product serves the document in docs/; only with the feature `openapi`,
//! which tests have, is it generated from the code (`api_document.rs`).
//!
//! Invariant: both are the same. A test compares them, and the routes with the operations of the document.

#[cfg(feature = "openapi")]
mod errors;

#[cfg(feature = "openapi")]
pub(crate) use errors::{ANY, JSON, KEY, PRIVATE_KEY, responses_by_status};

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
