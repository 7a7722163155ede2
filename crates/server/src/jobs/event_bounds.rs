//! Upper bounds of the outbox: neither a receiver that does not answer for long nor events that nobody replays fill the database.
//!
//! Invariant: for each receiver the newest `webhooks.waiting_events` events stay queued, in their order. Older ones become
//! dead events, as after the last retry, and can be replayed. A workspace keeps the newest `webhooks.dead_events` of those, for
//! `webhooks.forget_dead_seconds`. Events forgotten because of their number are counted and logged. The bounds are enforced
//! once per round of the cleaner.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::config::WebhookSettings;
use crate::db::webhook_deliveries::{self, ReceiverId};
use crate::db::{Db, DbError, Durability, Timestamp, Tx, workspaces};

/// Between two looks, each of which counts all queued events: some 150 ms with a million of them.
const BOUNDS_CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Rows changed in one transaction.
const ROWS_PER_TRANSACTION: u32 = 1000;

/// Enforces the bounds of the outbox.
pub(crate) struct EventBounds {
    waiting_events: u64,
    dead_events: u64,
    forget_dead_seconds: u64,
    looked_at: Option<Instant>,
    /// Receivers that were logged; forgotten when half of their events are gone.
    crowded: HashSet<ReceiverId>,
}

impl EventBounds {
    /// The bounds of these settings.
    pub(crate) fn new(settings: &WebhookSettings) -> Self {
        Self {
            waiting_events: u64::from(settings.waiting_events),
            dead_events: u64::from(settings.dead_events),
            forget_dead_seconds: settings.forget_dead_seconds.as_secs(),
            looked_at: None,
            crowded: HashSet::new(),
        }
    }

    /// Gives up and forgets the events above the bounds.
    ///
    /// # Errors
    /// When the database fails; transactions that were committed stay.
    pub(super) async fn keep(&mut self, db: &Db) -> Result<(), DbError> {
        if self.looked_at.is_some_and(|at| at.elapsed() < BOUNDS_CHECK_INTERVAL) {
            return Ok(());
        }
        self.looked_at = Some(Instant::now());
        self.give_up_oldest(db).await?;
        self.forget_aged(db).await?;
        self.forget_oldest(db).await
    }

    async fn give_up_oldest(&mut self, db: &Db) -> Result<(), DbError> {
        let most = self.waiting_events;
        let crowded = db.read(move |tx| webhook_deliveries::list_crowded(tx, most / 2)).await?;
        self.crowded.retain(|receiver| crowded.iter().any(|(crowded, _)| crowded == receiver));
        for (receiver, waiting) in crowded.into_iter().filter(|(_, waiting)| *waiting > most) {
            if self.crowded.insert(receiver) {
                let ReceiverId { workspace_id, webhook_id, .. } = receiver;
                let webhook = webhook_id.map_or_else(|| "(named by uploads)".to_owned(), |id| id.to_string());
                tracing::warn!(
                    %workspace_id, webhook, waiting, most,
                    "more events are queued for this receiver than webhooks.waiting_events allows; the oldest are given up, and \
                     `partway webhooks replay` sends them again"
                );
            }
            let reason = format!("{most} newer events were queued (webhooks.waiting_events)");
            let give_up = move |tx: &Tx<'_>| {
                webhook_deliveries::give_up_excess(tx, receiver, most, ROWS_PER_TRANSACTION, &reason)
            };
            while db.write_to_free(Durability::Process, give_up.clone()).await? == ROWS_PER_TRANSACTION as usize {}
        }
        Ok(())
    }

    async fn forget_aged(&self, db: &Db) -> Result<(), DbError> {
        let until = Timestamp::now().minus_seconds(self.forget_dead_seconds);
        while db.read(move |tx| webhook_deliveries::any_dead_before(tx, until)).await? {
            let forget = move |tx: &Tx<'_>| webhook_deliveries::forget_dead_before(tx, until, ROWS_PER_TRANSACTION);
            db.write_to_free(Durability::Process, forget).await?;
        }
        Ok(())
    }

    async fn forget_oldest(&self, db: &Db) -> Result<(), DbError> {
        let most = self.dead_events;
        for workspace_id in db.read(move |tx| webhook_deliveries::list_with_many_dead(tx, most)).await? {
            let forget = move |tx: &Tx<'_>| {
                workspaces::lock(tx, workspace_id)?;
                webhook_deliveries::forget_dead_excess(tx, workspace_id, most, ROWS_PER_TRANSACTION)
            };
            let mut forgotten = 0;
            loop {
                let step = db.write_to_free(Durability::Process, forget).await?;
                forgotten += step;
                if step < ROWS_PER_TRANSACTION as usize {
                    break;
                }
            }
            tracing::warn!(
                %workspace_id, forgotten, most,
                "events that were given up are forgotten: the workspace has more of them than webhooks.dead_events allows"
            );
        }
        Ok(())
    }
}
