//! The table of contents: every route of the server.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{any, delete, get, patch, post, put};
use partway_api::ErrorCode;
use tower::Service;

use crate::app::App;
use crate::error::ApiError;
use crate::metrics::HttpMetrics;
use crate::middleware::{self, RouteTemplates};
use crate::routes::{delivery, files, folders, health, metrics, multipart, openapi_document, uploads};
use crate::service::urls::METRICS;

/// `documented! { method "/path" handler; … }`: the routes that the OpenAPI document describes, for the router and the document.
macro_rules! documented {
    ($($method:ident $path:literal $($handler:ident)::+;)*) => {
        /// Method and path of each.
        pub const DOCUMENTED: &[(&str, &str)] = &[$((stringify!($method), $path)),*];

        fn documented() -> Router<App> {
            Router::new()$(.route($path, $method($($handler)::+)))*
        }

        /// Their part of the document.
        #[cfg(feature = "openapi")]
        #[derive(utoipa::OpenApi)]
        #[openapi(paths($($($handler)::+),*))]
        pub(crate) struct Routes;
    };
}

documented! {
    post "/api/v1/multipart/start" multipart::start::start_multipart;
    put "/api/v1/multipart/{session_id}/parts/{part_index}" multipart::part::put_part;
    post "/api/v1/multipart/complete" multipart::complete::complete_multipart;
    get "/api/v1/multipart" multipart::list::list_multipart;
    get "/api/v1/multipart/{session_id}" multipart::status::get_multipart;
    delete "/api/v1/multipart/{session_id}" multipart::abort::abort_multipart;
    post "/api/v1/multipart/{session_id}/parts" multipart::resign::resign_multipart;
    post "/api/v1/uploads" uploads::direct::create_upload;
    post "/api/v1/uploads/remote" uploads::remote::create_remote_upload;
    get "/api/v1/files" files::list::list_files;
    get "/api/v1/files/{file_no}" files::get::get_file;
    patch "/api/v1/files/{file_no}" files::update::update_file;
    delete "/api/v1/files/{file_no}" files::delete::delete_file;
    patch "/api/v1/files/{file_no}/rename" files::rename::rename_file;
    get "/api/v1/folders" folders::list::list_folders;
    post "/api/v1/folders" folders::create::create_folder;
    post "/api/v1/folders/rename/{folder_no}" folders::rename::rename_folder;
    delete "/api/v1/folders/{folder_no}" folders::delete::delete_folder;
    get "/healthz" health::get_health;
    get "/readyz" health::get_readiness;
}

/// The document itself, which does not describe itself.
const OPENAPI: &str = "/openapi.json";
/// A file. The document describes this route with a path of two parameters, because OpenAPI has no wildcard.
const DELIVERY: &str = "/{workspace_no}/{*path}";
/// A path under `/api/` is never a file.
const NO_API: &str = "/api/{*rest}";

/// All routes within their middleware. `/metrics` is one of them unless it has a listener of its own.
pub(crate) fn router(
    app: &App,
) -> impl Service<Request, Response = Response, Error = std::convert::Infallible, Future: Send> + Clone + Send + 'static
{
    let mut routes = documented()
        .route(OPENAPI, get(openapi_document::get_openapi))
        .route(DELIVERY, get(delivery::get_file_content))
        .route(NO_API, any(no_such_route));
    let mut templates: Vec<_> = DOCUMENTED.iter().map(|(_, path)| *path).chain([OPENAPI, DELIVERY, NO_API]).collect();
    if app.config.metrics.listen.is_none() {
        routes = routes.route(METRICS, get(metrics::get_metrics));
        templates.push(METRICS);
    }
    let routes = routes.fallback(no_such_route).method_not_allowed_fallback(method_not_allowed).with_state(app.clone());
    middleware::wrap(routes, RouteTemplates::new(templates), app)
}

/// The only route of the listener for metrics.
pub(crate) fn metrics_router(
    app: &App,
) -> impl Service<Request, Response = Response, Error = std::convert::Infallible, Future: Send> + Clone + Send + 'static
{
    let routes = Router::new()
        .route(METRICS, get(metrics::get_metrics))
        .fallback(no_such_route)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(app.clone());
    middleware::wrap_internal(routes)
}

/// The routes for connections over the bound: the process is alive, and every other request is answered 503.
pub(crate) fn overloaded(
    metrics: Arc<HttpMetrics>,
) -> impl Service<Request, Response = Response, Error = std::convert::Infallible, Future: Send> + Clone + Send + 'static
{
    let too_many = || async { ApiError::new(ErrorCode::ServiceUnavailable, "") };
    middleware::wrap_refused(Router::new().route("/healthz", get(health::get_health)).fallback(too_many), metrics)
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
