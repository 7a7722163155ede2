//! One attempt to send an event, and the record of its outcome.

use std::time::{Duration, Instant};

use reqwest::Method;
use uuid::Uuid;

use super::backoff::{MAX_PAUSE_SECONDS, pause_seconds};
use super::{HoldFor, WebhookDispatcher};
use crate::db::webhook_deliveries::{self, Delivery};
use crate::db::{DbError, Durability, Timestamp, Tx};
use crate::error_chain::error_chain;
use crate::failpoint;
use crate::metrics::InFlightGuard;
use crate::outgoing::{ForbiddenUrl, is_blocked, origin_of};

/// The error of a URL whose host the server may not call.
const FORBIDDEN_HOST: &str = "its host has no address that is globally reachable and outside of the server's own network; \
                              outgoing.allowed_hosts does not name it";
/// Characters of an error that are stored.
const MAX_ERROR_CHARS: usize = 300;

impl WebhookDispatcher {
    /// Sends one event and records the outcome.
    pub(super) async fn deliver(&self, delivery: Delivery) -> HoldFor {
        let id = delivery.id;
        if self.outgoing.learn_address(&delivery.url).await {
            // Its host has another address now, which may be busy. The event is still due, and is planned again.
            return None;
        }
        failpoint::hit("webhook.before_send");
        let (began, in_flight) = (Instant::now(), InFlightGuard::new(&self.metrics.in_flight));
        let sent = self.send(&delivery).await;
        drop(in_flight);
        self.metrics.attempted(self.outcome(&delivery, sent.is_ok()), began);
        let recorded = match sent {
            Ok(()) => {
                failpoint::hit("webhook.after_send");
                self.db.write_to_free(Durability::Process, move |tx| webhook_deliveries::delete(tx, id)).await
            }
            Err(problem) => return self.put_off(delivery, &problem).await,
        };
        hold_if_unrecorded(id, recorded, pause_seconds(&self.settings, delivery.attempts + 1))
    }

    fn outcome(&self, delivery: &Delivery, is_sent: bool) -> &'static str {
        match pause_seconds(&self.settings, delivery.attempts + 1) {
            _ if is_sent => "delivered",
            Some(_) => "retried",
            None => "given_up",
        }
    }

    /// Records a failed attempt and the time of the next one. Works on a full disk: without the record the event would be sent
    /// over and over.
    pub(super) async fn put_off(&self, delivery: Delivery, problem: &str) -> HoldFor {
        let (id, pause) = (delivery.id, pause_seconds(&self.settings, delivery.attempts + 1));
        let (receiver, event) = (origin_of(&delivery.url), &delivery.event);
        tracing::warn!(delivery_id = %id, receiver, event, problem, retry_in_seconds = pause, "an event could not be sent to a webhook");
        let problem: String = problem.chars().take(MAX_ERROR_CHARS).collect();
        let put_off = move |tx: &Tx<'_>| webhook_deliveries::put_off(tx, &delivery, &problem, pause);
        hold_if_unrecorded(id, self.db.write_to_free(Durability::Process, put_off).await, pause)
    }

    async fn send(&self, delivery: &Delivery) -> Result<(), String> {
        let url = self.outgoing.check(&delivery.url).await.map_err(|error| match error {
            ForbiddenUrl::Host => FORBIDDEN_HOST.to_owned(),
            error => format!("the URL is {error}"),
        })?;
        let (message_id, timestamp) = (delivery.event_id.to_string(), Timestamp::now().unix_seconds());
        let signature = self.signer.sign(delivery.signer_id(), &message_id, timestamp, &delivery.payload);
        let request = self
            .outgoing
            .request(Method::POST, url)
            .header("content-type", "application/json")
            .header("webhook-id", message_id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(delivery.payload.clone());
        let sent = tokio::time::timeout(self.settings.timeout_seconds, request.send());
        match sent.await {
            Err(_) => Err(format!("no answer within {} s", self.settings.timeout_seconds.as_secs())),
            Ok(Ok(response)) if response.status().is_success() => Ok(()),
            Ok(Ok(response)) => Err(format!("the receiver answered {}", response.status())),
            Ok(Err(error)) if is_blocked(&error) => Err(FORBIDDEN_HOST.to_owned()),
            Ok(Err(error)) => Err(error_chain(&error.without_url())),
        }
    }
}

/// Holds an event back whose outcome could not be recorded: the database still calls it due.
fn hold_if_unrecorded(id: Uuid, recorded: Result<(), DbError>, pause_seconds: Option<u64>) -> HoldFor {
    failpoint::hit("webhook.after_note");
    let error = recorded.err()?;
    let pause_seconds = pause_seconds.unwrap_or(MAX_PAUSE_SECONDS);
    tracing::error!(
        delivery_id = %id, error = %error_chain(&error), retry_in_seconds = pause_seconds,
        "the outcome of a webhook request could not be recorded; the event will be sent again"
    );
    Some(Duration::from_secs(pause_seconds))
}
