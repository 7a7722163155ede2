//! Strips the path of the public URL from a request's path. Some proxies strip it themselves and some keep it: both work
//! without a setting.
//!
//! The path of the public URL may look like one of the server's own (`/api`, `/api/v1`). It is stripped if the rest of the path is the
//! server's, and kept if only the whole is. `/metrics` has one path alone, which proxies block: it is not served under another. Paths of which both could be true are refused at the start (`app/error.rs`).

use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::Request;
use http::Uri;
use http::uri::PathAndQuery;
use tower::{Layer, Service};

use crate::service::urls::{is_metrics, is_own};

/// Wraps services in [`Strip`].
#[derive(Debug, Clone)]
pub(super) struct StripLayer {
    prefixes: Arc<[String]>,
}

impl StripLayer {
    /// The prefixes begin with a slash, end without one, and the longest comes first.
    pub(super) fn new(prefixes: Vec<String>) -> Self {
        Self { prefixes: prefixes.into() }
    }
}

impl<S> Layer<S> for StripLayer {
    type Service = Strip<S>;

    fn layer(&self, inner: S) -> Strip<S> {
        Strip { prefixes: Arc::clone(&self.prefixes), inner }
    }
}

/// Strips a prefix from the path and calls the inner service.
#[derive(Debug, Clone)]
pub(super) struct Strip<S> {
    prefixes: Arc<[String]>,
    inner: S,
}

impl<S: Service<Request>> Service<Request> for Strip<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> S::Future {
        if let Some(uri) = stripped(request.uri(), &self.prefixes) {
            *request.uri_mut() = uri;
        }
        self.inner.call(request)
    }
}

fn stripped(uri: &Uri, prefixes: &[String]) -> Option<Uri> {
    let whole = uri.path_and_query()?.as_str();
    let mut rests = prefixes.iter().filter_map(|prefix| {
        let rest = whole.strip_prefix(prefix.as_str())?;
        rest.starts_with('/').then_some(rest)
    });
    if rests.clone().any(is_metrics) {
        return None;
    }
    let longest = rests.clone().next()?;
    let rest = match rests.find(|rest| is_own(rest)) {
        Some(own) => own,
        None if is_own(whole) => return None,
        // Nothing is there, with or without it.
        None => longest,
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(rest).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_segments_are_stripped() {
        let prefixes = ["/media/up".to_owned(), "/media".to_owned()];
        let path = |uri: &str| stripped(&uri.parse().unwrap(), &prefixes).map(|uri| uri.to_string());
        assert_eq!(path("/media/api/v1/x?y=/media/z").as_deref(), Some("/api/v1/x?y=/media/z"));
        assert_eq!(path("/media/up/api").as_deref(), Some("/api"));
        for kept in ["/mediastore/x", "/api/media/x", "/media", "/media?x", "/"] {
            assert_eq!(path(kept), None, "{kept}");
        }
    }

    #[test]
    fn metrics_are_never_found_under_a_prefix() {
        let prefixes = ["/a/b".to_owned(), "/a".to_owned(), "/metrics".to_owned()];
        let path = |uri: &str| stripped(&uri.parse().unwrap(), &prefixes).map(|uri| uri.to_string());
        for kept in [
            "/a/metrics",
            "/a/b/metrics?x=/y",
            "/metrics/metrics",
            "https://h/a/metrics",
            "/metrics",
            "https://h/metrics",
        ] {
            assert_eq!(path(kept), None, "{kept}");
        }
        assert_eq!(path("/a/metrics/x").as_deref(), Some("/metrics/x"));
        assert_eq!(path("https://h/a/healthz").as_deref(), Some("https://h/healthz"));
    }

    #[test]
    fn a_path_that_looks_like_one_of_the_servers_own_is_stripped_only_where_a_proxy_kept_it() {
        for prefix in ["/api", "/api/v1", "/api/v1/x", "/healthz", "/0123456789", "/files"] {
            let prefixes = [prefix.to_owned()];
            for own in
                ["/api/v1/files?page=1", "/api/v1/multipart/x/parts/0?length=1", "/0123456789/a/b.txt", "/healthz"]
            {
                let path = |uri: &str| stripped(&uri.parse().unwrap(), &prefixes).map(|uri| uri.to_string());
                assert_eq!(path(&format!("{prefix}{own}")).as_deref(), Some(own), "kept: {prefix}{own}");
                assert_eq!(path(own), None, "stripped by a proxy: {own} of {prefix}");
            }
        }
    }
}
