//! Calls to the store of a bucket.

use std::time::Instant;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::declaration::{labels, metrics};
use super::timing::{Durations, InFlightGuard, requests};

labels! {
    /// A kind of call.
    pub(crate) struct OperationLabels { operation: &'static str }
}

metrics! {
    #[doc = "The store of a bucket"]
    pub struct StoreMetrics {
        #[doc = "Time until the store answered a call; each attempt counts."]
        duration: Durations<OperationLabels> = "partway_store_call_duration", "seconds", Durations::new_with_constructor(requests);
        #[doc = "Calls without an answer so far."]
        in_flight: Gauge = "partway_store_calls_in_flight", "";
        #[doc = "Attempts that failed, refusals included."]
        failures: Family<OperationLabels, Counter> = "partway_store_failures", "";
    }
}

impl StoreMetrics {
    /// Runs a call and measures it.
    pub(crate) async fn measure<T, E>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let (began, labels) = (Instant::now(), OperationLabels { operation });
        let _waiting = InFlightGuard::new(&self.in_flight);
        let outcome = call.await;
        self.duration.get_or_create(&labels).observe(began.elapsed().as_secs_f64());
        if outcome.is_err() {
            self.failures.get_or_create(&labels).inc();
        }
        outcome
    }
}
