//! The OpenAPI document from the code: its head, and the routes, which describe themselves.

mod conventions;

use partway_api::ErrorBody;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::routes::delivery;

#[derive(OpenApi)]
#[openapi(
    info(title = "Partway", description = "A self-hosted server for large uploads", license(name = "Apache-2.0 OR MIT")),
    paths(delivery::get_file_content),
    components(schemas(ErrorBody)),
    modifiers(&Security),
    tags(
        (name = "multipart", description = "Uploads in parts"),
        (name = "uploads", description = "Uploads of whole files"),
        (name = "files", description = "Files of the workspace"),
        (name = "folders", description = "Folders of the workspace"),
        (name = "delivery", description = "Serving files"),
        (name = "service", description = "The server itself"),
    )
)]
struct ApiDocument;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let header = ApiKey::Header(ApiKeyValue::new("x-api-key"));
        components.add_security_scheme("api_key", SecurityScheme::ApiKey(header));
    }
}

/// The whole document.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = ApiDocument::openapi().merge_from(crate::router::Routes::openapi());
    conventions::apply(&mut document);
    document
}
