//! Webhooks and the cleaner.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::declaration::{labels, metrics, zeros};
use super::timing::{observe, requests};
use crate::model::StorageKind;

labels! {
    /// An outcome.
    pub(crate) struct OutcomeLabels { outcome: &'static str }
}

labels! {
    /// A kind of storage: `local` or `s3`.
    pub(crate) struct StorageLabels { storage: &'static str }
}

metrics! {
    #[doc = "Webhooks, on the node that sends them"]
    pub struct WebhookMetrics {
        #[doc = "Attempts to send an event: `delivered`, `retried` (failed, and tried again later) or `given_up`."]
        attempts: Family<OutcomeLabels, Counter> = "partway_webhook_attempts", "", zeros(["delivered", "retried", "given_up"].map(|outcome| OutcomeLabels { outcome }));
        #[doc = "Time of an attempt."]
        duration: Histogram = "partway_webhook_attempt_duration", "seconds", requests();
        #[doc = "Attempts without an outcome so far."]
        in_flight: Gauge = "partway_webhook_attempts_in_flight", "";
    }
}

metrics! {
    #[doc = "The cleaner, on the node that runs it"]
    pub struct CleanerMetrics {
        #[doc = "Rounds: `done` or `failed`."]
        rounds: Family<OutcomeLabels, Counter> = "partway_cleaner_rounds", "", zeros(["done", "failed"].map(|outcome| OutcomeLabels { outcome }));
        #[doc = "Time of a round."]
        duration: Histogram = "partway_cleaner_round_duration", "seconds", requests();
        #[doc = "Time of the last round that this process finished, in Unix seconds; 0 before its first. It stays when another node takes over the cleaning, so take the `max` of all nodes."]
        last_done: Gauge = "partway_cleaner_last_done_timestamp", "seconds";
        #[doc = "Deleted blobs."]
        deleted: Family<StorageLabels, Counter> = "partway_cleaner_deleted_blobs", "", zeros(StorageKind::ALL.map(|kind| StorageLabels { storage: kind.as_str() }));
        #[doc = "Blobs that could not be deleted; each is tried again."]
        undeleted: Family<StorageLabels, Counter> = "partway_cleaner_failed_deletions", "", zeros(StorageKind::ALL.map(|kind| StorageLabels { storage: kind.as_str() }));
    }
}

impl WebhookMetrics {
    /// Notes an attempt that began then: `delivered`, `retried` or `given_up`.
    pub(crate) fn attempted(&self, outcome: &'static str, began: Instant) {
        observe(&self.duration, began);
        self.attempts.get_or_create(&OutcomeLabels { outcome }).inc();
    }
}

impl CleanerMetrics {
    /// Notes a round that began then.
    pub(crate) fn round(&self, is_done: bool, began: Instant) {
        observe(&self.duration, began);
        let outcome = if is_done { "done" } else { "failed" };
        self.rounds.get_or_create(&OutcomeLabels { outcome }).inc();
        if is_done {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
            self.last_done.set(i64::try_from(now).unwrap_or(i64::MAX));
        }
    }

    /// Counts a blob that was deleted, or could not be.
    pub(crate) fn deleted(&self, storage: StorageKind, is_deleted: bool) {
        let family = if is_deleted { &self.deleted } else { &self.undeleted };
        family.get_or_create(&StorageLabels { storage: storage.as_str() }).inc();
    }
}
