//! Lets pages of any site read the answers, except for `/metrics`: no page has use for the figures of the server.

use std::task::{Context, Poll};

use axum::extract::Request;
use futures_util::future::Either;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, ETAG, LOCATION, RETRY_AFTER};
use http::{HeaderName, Method, Response};
use tower::{Layer, Service};
use tower_http::cors::{AllowHeaders, Any, Cors, CorsLayer};

use super::request_id;
use crate::service::urls::METRICS;

/// Wraps services in [`OpenToPages`].
#[derive(Debug, Clone)]
pub(super) struct OpenToPagesLayer;

impl<S: Clone> Layer<S> for OpenToPagesLayer {
    type Service = OpenToPages<S>;

    fn layer(&self, inner: S) -> OpenToPages<S> {
        OpenToPages { open: cors().layer(inner.clone()), closed: inner }
    }
}

/// Calls the inner service with or without the headers that let pages read the answer.
#[derive(Debug, Clone)]
pub(super) struct OpenToPages<S> {
    open: Cors<S>,
    closed: S,
}

impl<S: Service<Request, Response = Response<B>>, B: Default> Service<Request> for OpenToPages<S> {
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Either<<Cors<S> as Service<Request>>::Future, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        if self.closed.poll_ready(cx)?.is_pending() {
            return Poll::Pending;
        }
        self.open.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if request.uri().path() == METRICS {
            Either::Right(self.closed.call(request))
        } else {
            Either::Left(self.open.call(request))
        }
    }
}

/// Allows any origin: a request is authorized by its key or signed URL, never by a cookie.
fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([
            ETAG,
            LOCATION,
            RETRY_AFTER,
            ACCEPT_RANGES,
            CONTENT_RANGE,
            CONTENT_LENGTH,
            HeaderName::from_static(request_id::HEADER),
        ])
        // `preflight` adds it where it belongs.
        .vary([])
        .max_age(std::time::Duration::from_secs(24 * 60 * 60))
}
