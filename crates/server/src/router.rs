//! The table of contents: every route of the server.

use axum::Router;
use axum::extract::{Extension, Request};
use axum::response::Response;
use axum::routing::{any, get};
use partway_api::ErrorCode;
use tower::Service;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::error::ApiError;
use crate::middleware;
use crate::openapi::ApiDocument;
use crate::routes::openapi_document::OpenApiJson;
use crate::routes::{delivery, files, folders, health, multipart, openapi_document, uploads};

/// All routes, with what every request passes before them.
pub fn router(
    app: &App,
) -> impl Service<Request, Response = Response, Error = std::convert::Infallible, Future: Send> + Clone + Send + 'static
{
    let (routes, document) = documented().split_for_parts();
    let json = serde_json::to_vec(&document).unwrap_or_default();
    let routes = routes
        .route("/openapi.json", get(openapi_document::get_openapi))
        // The document has a path with one parameter where the route takes the rest of the path.
        .route("/{workspace_no}/{*path}", get(delivery::get_file_content))
        // What begins like the API is never a file.
        .route("/api/{*rest}", any(no_such_route))
        .fallback(no_such_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(Extension(OpenApiJson(json.into())))
        .with_state(app.clone());
    middleware::wrap(routes, app)
}

/// The routes that the OpenAPI document describes.
pub(crate) fn documented() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(ApiDocument::openapi())
        .routes(routes!(multipart::start::start_multipart))
        .routes(routes!(multipart::part::put_part))
        .routes(routes!(multipart::complete::complete_multipart))
        .routes(routes!(multipart::list::list_multipart))
        .routes(routes!(multipart::status::get_multipart, multipart::abort::abort_multipart))
        .routes(routes!(multipart::resign::resign_multipart))
        .routes(routes!(uploads::direct::create_upload))
        .routes(routes!(uploads::remote::create_remote_upload))
        .routes(routes!(files::list::list_files))
        .routes(routes!(files::get::get_file, files::update::update_file, files::delete::delete_file))
        .routes(routes!(files::rename::rename_file))
        .routes(routes!(folders::list::list_folders, folders::create::create_folder))
        .routes(routes!(folders::rename::rename_folder))
        .routes(routes!(folders::delete::delete_folder))
        .routes(routes!(health::get_health))
        .routes(routes!(health::get_readiness))
}

/// The answer for connections over the bound: that the process is alive, and otherwise to come again.
pub fn overloaded()
-> impl Service<Request, Response = Response, Error = std::convert::Infallible, Future: Send> + Clone + Send + 'static {
    let too_many = || async { ApiError::new(ErrorCode::ServiceUnavailable, "") };
    middleware::wrap_refused(Router::new().route("/healthz", get(health::get_health)).fallback(too_many))
}

async fn no_such_route(request: Request) -> ApiError {
    ApiError::new(ErrorCode::NotFound, format!("there is nothing at {:?}", request.uri().path()))
}

async fn method_not_allowed(request: Request) -> ApiError {
    ApiError::new(
        ErrorCode::MethodNotAllowed,
        format!("{} is not a method of {:?}", request.method(), request.uri().path()),
    )
}
