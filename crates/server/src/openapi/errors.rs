//! Errors among the responses of the routes.

use std::collections::BTreeMap;

use partway_api::ErrorCode;
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, HeaderBuilder, Ref, RefOr, Response, ResponseBuilder};

/// Errors of every route of the API.
pub(crate) const ANY: &[ErrorCode] = &[ErrorCode::RateLimited, ErrorCode::Internal, ErrorCode::ServiceUnavailable];
/// Further errors of a route that needs a key.
pub(crate) const KEY: &[ErrorCode] = &[ErrorCode::Unauthorized];
/// Further errors of a route that needs a private key.
pub(crate) const PRIVATE_KEY: &[ErrorCode] = &[ErrorCode::Unauthorized, ErrorCode::Forbidden];
/// Further errors of a route that takes JSON.
pub(crate) const JSON: &[ErrorCode] =
    &[ErrorCode::InvalidJson, ErrorCode::RequestTimeout, ErrorCode::PayloadTooLarge, ErrorCode::UnsupportedMediaType];

/// One response for each status of these codes, which lists its codes.
pub(crate) fn responses_by_status(groups: &[&[ErrorCode]]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status = BTreeMap::<u16, Vec<ErrorCode>>::new();
    for code in groups.iter().copied().flatten() {
        by_status.entry(code.status()).or_default().push(*code);
    }
    by_status.into_iter().map(|(status, codes)| (status.to_string(), error_response(status, &codes).into())).collect()
}

fn error_response(status: u16, codes: &[ErrorCode]) -> Response {
    let description: Vec<_> = codes.iter().map(|code| format!("`{code}`: {}", code.meaning())).collect();
    let code = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(codes.iter().map(|code| code.as_str())));
    let body = AllOfBuilder::new()
        .item(Ref::from_schema_name("ErrorBody"))
        .item(ObjectBuilder::new().property("errorCode", code));
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let header =
        |schema: ObjectBuilder, about: &str| HeaderBuilder::new().schema(Some(schema)).description(Some(about)).build();
    let seconds = || ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
    let id = text().pattern(Some("^[0-9a-f]{32}$"));
    let response = ResponseBuilder::new()
        .description(description.join("\n\n"))
        .header("x-request-id", header(id, "The id under which the server's log has this request"))
        .content("application/json", ContentBuilder::new().schema(Some(body)).build());
    let response = match status {
        401 => response.header("WWW-Authenticate", header(text().enum_values(Some(["Bearer"])), "How a key is sent")),
        409 => {
            let never = text().enum_values(Some(["false"]));
            response.header("x-should-retry", header(never, "The published SDKs do not retry an answer with it"))
        }
        429 | 503 => response.header("Retry-After", header(seconds(), "Seconds after which to retry")),
        _ => response,
    };
    response.build()
}
