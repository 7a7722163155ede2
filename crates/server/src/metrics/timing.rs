//! Histograms of durations, and gauges that count things in flight.

use std::time::Instant;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

/// Durations by labels.
pub(crate) type Durations<S> = Family<S, Histogram, fn() -> Histogram>;

/// Bounds for requests and calls over a network: 1 ms to a minute.
const REQUEST_SECONDS: [f64; 9] = [0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 600.0];
/// Bounds for queries: 50 µs to ten seconds.
const QUERY_SECONDS: [f64; 9] = [0.000_05, 0.000_2, 0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0];

/// A histogram of requests.
pub(super) fn requests() -> Histogram {
    Histogram::new(REQUEST_SECONDS)
}

/// A histogram of queries.
pub(super) fn queries() -> Histogram {
    Histogram::new(QUERY_SECONDS)
}

/// Counts in a gauge until it is dropped.
#[derive(Debug)]
pub(crate) struct InFlightGuard(Gauge);

impl InFlightGuard {
    pub(crate) fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Observes the time since `began`.
pub(super) fn observe(histogram: &Histogram, began: Instant) {
    histogram.observe(began.elapsed().as_secs_f64());
}
