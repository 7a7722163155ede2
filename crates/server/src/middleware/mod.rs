//! The layers around all routes. Their order is decided here and nowhere else.

mod base_path;
mod cors;
mod limit_per_address;
mod no_store;
mod preflight;
mod request_id;
mod route_templates;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use partway_api::ErrorCode;
use tower::{Layer, Service, ServiceBuilder};
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::App;
use crate::error::ApiError;
use crate::metrics::HttpMetrics;
use request_id::Observer;
pub(crate) use route_templates::RouteTemplates;

/// Wraps the routes. From the outside in, the layers
///
/// 1. strip the path prefix of the public URL,
/// 2. forbid caches to keep anything but the content of files,
/// 3. give the request its id and its line in the log, and count it,
/// 4. answer browsers' preflights, and let pages of any site read what is not `/metrics`,
/// 5. turn a panic into a 500,
/// 6. refuse an address that exceeds its rate limit.
pub(crate) fn wrap(
    routes: Router,
    templates: RouteTemplates,
    app: &App,
) -> impl Service<Request, Response = Response, Error = std::convert::Infallible, Future: Send> + Clone + Send + 'static
{
    let observer = Observer::new(templates, Arc::clone(&app.metrics.http));
    let inner = ServiceBuilder::new()
        .layer(map_response(no_store::add))
        .layer(from_fn_with_state(observer, request_id::handle))
        .layer(from_fn(preflight::vary))
        .layer(cors::OpenToPagesLayer)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(app.clone(), limit_per_address::per_address))
        .service(routes);
    base_path::StripLayer::new(app.urls.path_prefixes()).layer(inner)
}

/// Wraps the routes of connections over the bound: their answers have an id, a line in the log, and are never cached.
pub(crate) fn wrap_refused(
    routes: Router,
    metrics: Arc<HttpMetrics>,
) -> impl Service<Request, Response = Response, Error = std::convert::Infallible, Future: Send> + Clone + Send + 'static
{
    let observer = Observer::new(RouteTemplates::default(), metrics);
    ServiceBuilder::new()
        .layer(map_response(no_store::add))
        .layer(from_fn_with_state(observer, request_id::handle))
        .layer(from_fn(preflight::vary))
        .layer(cors::OpenToPagesLayer)
        .service(routes)
}

/// Wraps the routes of a listener for operators. Its requests do not count as clients', and no page of another site may read the answers.
pub(crate) fn wrap_internal(
    routes: Router,
) -> impl Service<Request, Response = Response, Error = std::convert::Infallible, Future: Send> + Clone + Send + 'static
{
    let observer = Observer::new(RouteTemplates::default(), Arc::default());
    ServiceBuilder::new()
        .layer(map_response(no_store::add))
        .layer(from_fn_with_state(observer, request_id::handle))
        .layer(CatchPanicLayer::custom(panicked))
        .service(routes)
}

/// The panic hook has already logged the panic.
fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    ApiError::new(ErrorCode::Internal, "").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::extract::Path;
    use axum::routing::get;
    use http::header::CACHE_CONTROL;
    use http::{HeaderValue, Method, Request};
    use tower::ServiceExt;

    /// Fails with the code in its path, and asks caches to keep the answer.
    async fn fail(Path(code): Path<String>) -> Response {
        let code = ErrorCode::ALL.iter().find(|known| known.as_str() == code).copied();
        let error = ApiError::new(code.expect("a code"), "it failed");
        error.with_header(CACHE_CONTROL, HeaderValue::from_static("public, max-age=600")).into_response()
    }

    async fn panic() -> Response {
        panic!("as a test asked for")
    }

    #[tokio::test]
    async fn no_cache_may_keep_any_error_with_any_method() {
        let directory = tempfile::tempdir().unwrap();
        let config = crate::Config::with_data_dir(directory.path());
        let (app, _) = App::open(config, "127.0.0.1:1".parse().unwrap()).await.unwrap();
        let routes = Router::new().route("/{code}", get(fail)).route("/panic", get(panic));
        let service = wrap(routes, RouteTemplates::default(), &app);
        let paths = ErrorCode::ALL.iter().map(|code| (code.as_str(), code.status()));
        for (path, status) in paths.chain([("panic", 500), ("no/such/route", 404)]) {
            for method in [Method::GET, Method::HEAD] {
                let request = Request::builder().method(method.clone()).uri(format!("/{path}"));
                let answer = service.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
                assert_eq!(answer.status().as_u16(), status, "{method} {path}");
                let said: Vec<_> = answer.headers().get_all(CACHE_CONTROL).iter().collect();
                assert_eq!(said, ["no-store"], "{method} {path}");
            }
        }
    }
}
