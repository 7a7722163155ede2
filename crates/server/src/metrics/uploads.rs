//! Bytes that arrive: parts, files in one request, and their way to the disk.

use std::sync::Arc;
use std::time::Instant;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::declaration::{labels, metrics, zeros};
use super::timing::{InFlightGuard, observe, requests};

labels! {
    /// The way a file came: in `parts`, in one request (`direct`), or fetched from a URL (`remote`).
    pub(crate) struct SourceLabels { source: &'static str }
}

metrics! {
    #[doc = "Uploads"]
    pub struct UploadMetrics {
        #[doc = "Parts that are being received. Parts of a bucket go to the store."]
        parts_in_flight: Gauge = "partway_parts_in_flight", "";
        #[doc = "Parts received and recorded."]
        parts: Counter = "partway_parts_received", "";
        #[doc = "Their bytes."]
        part_bytes: Counter = "partway_parts_received", "bytes";
        #[doc = "Parts that were not recorded although URL, headers and key were accepted: the session takes no parts, the body was not exactly the part, the client stalled, went away or sent the part again, or disk or database failed. Earlier refusals, such as those of a signature or its expiry, are in `partway_http_errors_total` alone."]
        failed_parts: Counter = "partway_parts_failed", "";
        #[doc = "Files that are being received in one request each, or fetched."]
        direct_in_flight: Gauge = "partway_direct_uploads_in_flight", "";
        #[doc = "Published files, by the way they came: in `parts`, in one request (`direct`), or fetched from a URL (`remote`)."]
        files: Family<SourceLabels, Counter> = "partway_files_published", "", zeros(SOURCES.map(|source| SourceLabels { source }));
        #[doc = "Their bytes."]
        file_bytes: Family<SourceLabels, Counter> = "partway_files_published", "bytes", zeros(SOURCES.map(|source| SourceLabels { source }));
        #[doc = "Time that the disk took to sync the bytes of a session."]
        syncs: Histogram = "partway_session_sync_duration", "seconds", requests();
    }
}

const SOURCES: [&str; 3] = ["parts", "direct", "remote"];

/// A part that is arriving. Dropped before it is received, it has failed: its client may just have gone.
#[derive(Debug)]
pub(crate) struct IncomingPart {
    metrics: Arc<UploadMetrics>,
    _in_flight: InFlightGuard,
    received: Option<u64>,
}

impl IncomingPart {
    /// The part is on the disk and recorded.
    pub(crate) fn received(mut self, bytes: u64) {
        self.received = Some(bytes);
    }
}

impl Drop for IncomingPart {
    fn drop(&mut self) {
        match self.received {
            Some(bytes) => {
                self.metrics.parts.inc();
                self.metrics.part_bytes.inc_by(bytes);
            }
            None => drop(self.metrics.failed_parts.inc()),
        }
    }
}

impl UploadMetrics {
    /// A part begins to arrive.
    pub(crate) fn begin_part(self: &Arc<Self>) -> IncomingPart {
        IncomingPart {
            metrics: Arc::clone(self),
            _in_flight: InFlightGuard::new(&self.parts_in_flight),
            received: None,
        }
    }

    /// A file of one request, or of a URL, begins to arrive.
    pub(crate) fn begin_direct(&self) -> InFlightGuard {
        InFlightGuard::new(&self.direct_in_flight)
    }

    /// Counts a published file: `parts`, `direct` or `remote`.
    pub(crate) fn published(&self, source: &'static str, bytes: u64) {
        let labels = SourceLabels { source };
        self.files.get_or_create(&labels).inc();
        self.file_bytes.get_or_create(&labels).inc_by(bytes);
    }

    /// Notes a sync that began then.
    pub(crate) fn synced(&self, began: Instant) {
        observe(&self.syncs, began);
    }
}
