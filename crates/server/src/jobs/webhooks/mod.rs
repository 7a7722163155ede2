//! Dispatches webhooks: takes events from the outbox and sends them.
//!
//! Invariant: an event leaves the outbox only after its receiver has answered 2xx, so it is sent at least once, with the same
//! `webhook-id` every time. The events of one file reach each receiver in order: an event waits until the one before it was
//! answered or given up. `plan.rs` keeps the slots fair.

mod attempt;
mod backoff;
mod plan;
mod receiver;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Lease;
use crate::config::WebhookSettings;
use crate::db::webhook_deliveries::{self, Delivery};
use crate::db::{Db, DbError, Timestamp};
use crate::error_chain::error_chain;
use crate::metrics::WebhookMetrics;
use crate::outgoing::Outgoing;
use crate::service::webhook_signer::WebhookSigner;
use crate::turn::turn;

use plan::{Cursor, MAX_CONCURRENT_SENDS, Plan};

/// Upper bound of the time between two looks at the outbox: events of other nodes do not ring the bell of this one.
const OUTBOX_CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// Between two looks while an event is due and has no free slot.
const BLOCKED_CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// After a failure of the database, or a panic.
const FAILURE_PAUSE: Duration = Duration::from_secs(2);

/// Sends the events of all workspaces to their webhooks.
pub(crate) struct WebhookDispatcher {
    /// Lets one node dispatch at a time: the order of events needs that.
    pub lease: Lease,
    /// Has the outbox.
    pub db: Db,
    /// Sends the requests.
    pub outgoing: Outgoing,
    /// Signs the requests.
    pub signer: WebhookSigner,
    /// Rings when there may be a new event.
    pub bell: Arc<Notify>,
    /// Timeouts and retries.
    pub settings: WebhookSettings,
    /// Counts attempts.
    pub metrics: Arc<WebhookMetrics>,
}

/// How long an event is held back although the database lists it as due; `None` when it is not held back.
type HoldFor = Option<Duration>;

/// The workspace and the URL of an event in flight.
#[derive(Debug, Clone)]
struct InFlightEvent {
    workspace_id: Uuid,
    url: String,
}

/// The state between two looks at the outbox.
#[derive(Default)]
struct Sending {
    tasks: JoinSet<(Uuid, HoldFor)>,
    in_flight: HashMap<Uuid, InFlightEvent>,
    /// Events whose outcome could not be recorded, and the end of their pause.
    held_back: HashMap<Uuid, Instant>,
    cursor: Cursor,
}

impl Sending {
    fn ended(&mut self, sent: Result<(Uuid, HoldFor), tokio::task::JoinError>) {
        match sent {
            Ok((id, hold_for)) => {
                self.in_flight.remove(&id);
                if let Some(pause) = hold_for {
                    self.held_back.insert(id, Instant::now() + pause);
                }
            }
            // Panics are caught in the task. Without its id, all due events are planned again.
            Err(error) => {
                tracing::error!(%error, "a task that sends to a webhook was lost");
                *self = Self::default();
            }
        }
    }

    /// Events that must not be picked again.
    fn skipped(&mut self) -> HashSet<Uuid> {
        let now = Instant::now();
        self.held_back.retain(|_, until| *until > now);
        self.in_flight.keys().chain(self.held_back.keys()).copied().collect()
    }
}

impl WebhookDispatcher {
    /// Runs until `stop`. Events in flight are sent again by the next node.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let dispatcher = Arc::new(self);
        let mut sending = Sending::default();
        loop {
            let pause = match turn("job.webhooks", dispatcher.send_due(&mut sending)).await {
                Some(Ok(pause)) => pause,
                Some(Err(error)) => {
                    tracing::error!(error = %error_chain(&error), "webhooks cannot be dispatched; retrying soon");
                    FAILURE_PAUSE
                }
                None => FAILURE_PAUSE,
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = dispatcher.bell.notified() => {}
                () = tokio::time::sleep(pause) => {}
                Some(sent) = sending.tasks.join_next() => sending.ended(sent),
            }
            while let Some(sent) = sending.tasks.try_join_next() {
                sending.ended(sent);
            }
        }
        dispatcher.lease.give_up().await;
    }

    /// Starts sending events that are due. Answers the time to wait for the next ones.
    async fn send_due(self: &Arc<Self>, sending: &mut Sending) -> Result<Duration, DbError> {
        let Some(next) = self.db.read(webhook_deliveries::next_due).await? else { return Ok(OUTBOX_CHECK_INTERVAL) };
        if !self.lease.take().await? {
            return Ok(OUTBOX_CHECK_INTERVAL);
        }
        let plan = Plan::new(self.outgoing.clone(), &sending.in_flight);
        let (skipped, cursor) = (sending.skipped(), sending.cursor.clone());
        let (due, cursor) = self.db.read(move |tx| plan.list_due(tx, cursor, &skipped)).await?;
        let is_cut_short = cursor.is_cut_short;
        sending.cursor = cursor;
        let has_started = !due.is_empty();
        for delivery in due {
            self.start(delivery, sending);
        }
        if has_started && sending.in_flight.len() < MAX_CONCURRENT_SENDS {
            // Other URLs may have due events as well.
            return Ok(Duration::ZERO);
        }
        if is_cut_short {
            return Ok(BLOCKED_CHECK_INTERVAL);
        }
        if !sending.in_flight.is_empty() {
            // Events in flight are due, too, and wake the loop when they end.
            return Ok(OUTBOX_CHECK_INTERVAL);
        }
        let left_ms = next.unix_milliseconds().saturating_sub(Timestamp::now().unix_milliseconds());
        let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or_default());
        // A due event that was not started waits for an earlier one of its file.
        Ok(if left.is_zero() { BLOCKED_CHECK_INTERVAL } else { left.min(OUTBOX_CHECK_INTERVAL) })
    }

    fn start(self: &Arc<Self>, delivery: Delivery, sending: &mut Sending) {
        let (workspace_id, url) = (delivery.workspace_id, delivery.url.clone());
        sending.in_flight.insert(delivery.id, InFlightEvent { workspace_id, url });
        let dispatcher = Arc::clone(self);
        sending.tasks.spawn(async move {
            let id = delivery.id;
            let hold_for = match turn("job.webhook", dispatcher.deliver(delivery.clone())).await {
                Some(hold_for) => hold_for,
                // Counts as a failed attempt: otherwise the event would be due at once, and perhaps cause the next panic.
                None => {
                    let put_off = dispatcher.put_off(delivery, "the server failed while it sent the event");
                    turn("job.webhook_note", put_off).await.unwrap_or(Some(FAILURE_PAUSE))
                }
            };
            (id, hold_for)
        });
    }
}
