//! Requests, connections and their bytes.

use std::time::Duration;

use http::Method;
use partway_api::ErrorCode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::declaration::{labels, metrics, zeros};
use super::timing::{Durations, requests};

labels! {
    /// A request.
    pub(crate) struct RequestLabels { method: &'static str, route: &'static str, status: u16 }
}

labels! {
    /// A route: its template, such as `/api/v1/files/{file_no}`, or `other`.
    pub(crate) struct RouteLabels { method: &'static str, route: &'static str }
}

labels! {
    /// A code of docs/ERRORS.md.
    pub(crate) struct CodeLabels { code: &'static str }
}

labels! {
    /// The part of an exchange that stalled: `request` or `answer`.
    pub(crate) struct DirectionLabels { direction: &'static str }
}

labels! {
    /// The bound that was reached: `all` connections or those of one `address`.
    pub(crate) struct BoundLabels { bound: &'static str }
}

metrics! {
    #[doc = "Requests and connections"]
    pub struct HttpMetrics {
        #[doc = "Answered requests."]
        requests: Family<RequestLabels, Counter> = "partway_http_requests", "";
        #[doc = "Time from a request's head to the head of its answer."]
        duration: Durations<RouteLabels> = "partway_http_request_duration", "seconds", Durations::new_with_constructor(requests);
        #[doc = "Requests whose answer has not begun."]
        in_flight: Gauge = "partway_http_requests_in_flight", "";
        #[doc = "Refused and failed requests, by the errorCode of the answer."]
        errors: Family<CodeLabels, Counter> = "partway_http_errors", "", zeros(ErrorCode::ALL.iter().map(|code| CodeLabels { code: code.as_str() }));
        #[doc = "Transfers ended because the client stalled or was too slow: bodies of requests that were answered 408, and answers that were not taken."]
        stalls: Family<DirectionLabels, Counter> = "partway_http_stalls", "", zeros(["request", "answer"].map(|direction| DirectionLabels { direction }));
        #[doc = "Open connections."]
        connections: Gauge = "partway_http_connections", "";
        #[doc = "Connections answered 503 because http.max_connections (`all`) or http.max_connections_per_address (`address`) was reached."]
        refused_connections: Family<BoundLabels, Counter> = "partway_http_refused_connections", "", zeros(["all", "address"].map(|bound| BoundLabels { bound }));
        #[doc = "Bytes read from connections, heads included."]
        received: Counter = "partway_http_received", "bytes";
        #[doc = "Bytes written to connections, heads included. Files that a bucket serves itself are not among them."]
        sent: Counter = "partway_http_sent", "bytes";
    }
}

impl HttpMetrics {
    /// Counts a request as its answer begins.
    pub(crate) fn answered(
        &self,
        method: &Method,
        route: &'static str,
        status: u16,
        code: Option<ErrorCode>,
        took: Duration,
    ) {
        let method = name_of(method);
        self.requests.get_or_create(&RequestLabels { method, route, status }).inc();
        self.duration.get_or_create(&RouteLabels { method, route }).observe(took.as_secs_f64());
        if let Some(code) = code {
            self.errors.get_or_create(&CodeLabels { code: code.as_str() }).inc();
            if code == ErrorCode::RequestTimeout {
                self.stalled("request");
            }
        }
    }

    /// Counts a transfer that was ended for its pace: `request` or `answer`.
    pub(crate) fn stalled(&self, direction: &'static str) {
        self.stalls.get_or_create(&DirectionLabels { direction }).inc();
    }

    /// Counts a refused connection: `all` or `address`.
    pub(crate) fn refused(&self, bound: &'static str) {
        self.refused_connections.get_or_create(&BoundLabels { bound }).inc();
    }
}

/// Clients may send any word as a method.
fn name_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
