//! Queries, and how many of them share a commit.

use std::time::Instant;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::declaration::{labels, metrics, zeros};
use super::timing::{InFlightGuard, observe, queries};

labels! {
    /// The lane of a query: `write`, `read` (look-ups) or `scan` (lists and searches).
    pub(crate) struct LaneLabels { lane: &'static str }
}

/// Bounds of a group commit, whose upper bound is 256.
const WRITES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

metrics! {
    #[doc = "The database"]
    pub struct DatabaseMetrics {
        #[doc = "Time from a query's request to its answer, the wait for a slot included. The lane is `write`, `read` (look-ups) or `scan` (lists and searches)."]
        duration: Family<LaneLabels, Histogram, fn() -> Histogram> = "partway_database_query_duration", "seconds", Family::new_with_constructor(queries);
        #[doc = "Queries that wait or run."]
        queue: Family<LaneLabels, Gauge> = "partway_database_queue", "";
        #[doc = "Queries that failed."]
        failures: Family<LaneLabels, Counter> = "partway_database_failures", "", zeros(LANES.map(|lane| LaneLabels { lane }));
        #[doc = "Writes that shared a commit. SQLite only: PostgreSQL commits each alone."]
        writes_per_commit: Histogram = "partway_database_writes_per_commit", "", Histogram::new(WRITES);
    }
}

const LANES: [&str; 3] = ["write", "read", "scan"];

/// The metrics of one lane, looked up once.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    duration: Histogram,
    queue: Gauge,
    failures: Counter,
}

impl Lane {
    /// Runs a query and measures it. One that is dropped has no duration.
    pub(crate) async fn measure<T, E>(&self, query: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let began = Instant::now();
        let _waiting = InFlightGuard::new(&self.queue);
        let outcome = query.await;
        observe(&self.duration, began);
        if outcome.is_err() {
            self.failures.inc();
        }
        outcome
    }
}

impl DatabaseMetrics {
    /// Notes a commit of this many writes.
    pub(crate) fn committed(&self, writes: usize) {
        self.writes_per_commit.observe(writes as f64);
    }

    /// The metrics of a lane: `write`, `read` or `scan`.
    pub(crate) fn lane(&self, lane: &'static str) -> Lane {
        let labels = LaneLabels { lane };
        Lane {
            duration: self.duration.get_or_create_owned(&labels),
            queue: self.queue.get_or_create_owned(&labels),
            failures: self.failures.get_or_create_owned(&labels),
        }
    }
}
