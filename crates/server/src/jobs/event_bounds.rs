//! Bounds of the outbox: receivers that do not answer for long, and events that nobody replays, do not fill the database.
//!
//! Invariant: of the events that wait for one receiver the youngest `webhooks.waiting_events` wait on, in their order; those before them
//! are given up as if they had been tried in vain for long enough, so that they can be replayed. A workspace keeps the
//! youngest `webhooks.dead_events` of them, for `webhooks.forget_dead_seconds`. Events forgotten for their number are counted
//! and told. The bounds hold within a round of the cleaner.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::config::WebhookSettings;
use crate::db::deliveries::{self, ReceiverId};
use crate::db::{Db, DbError, Durability, Timestamp, Tx, workspaces};

/// Between two looks, which count all that waits: some 150 ms with a million events.
const INTERVAL: Duration = Duration::from_secs(5);
/// Rows that are changed in one transaction.
const ROWS_STEP: u32 = 1000;

/// Keeps the outbox within its bounds.
pub struct EventBounds {
    waiting_events: u64,
    dead_events: u64,
    forget_dead_seconds: u64,
    looked_at: Option<Instant>,
    /// Receivers of whom the log has been told; forgotten when half of their events are gone.
    crowded: HashSet<ReceiverId>,
}

impl EventBounds {
    /// By these settings.
    pub fn new(settings: &WebhookSettings) -> Self {
        Self {
            waiting_events: u64::from(settings.waiting_events.0),
            dead_events: u64::from(settings.dead_events.0),
            forget_dead_seconds: settings.forget_dead.0.as_secs(),
            looked_at: None,
            crowded: HashSet::new(),
        }
    }

    /// Gives up and forgets what is too much.
    ///
    /// # Errors
    /// When the database fails; what was done stays done.
    pub(super) async fn keep(&mut self, db: &Db) -> Result<(), DbError> {
        if self.looked_at.is_some_and(|at| at.elapsed() < INTERVAL) {
            return Ok(());
        }
        self.looked_at = Some(Instant::now());
        self.give_up_oldest(db).await?;
        self.forget_aged(db).await?;
        self.forget_oldest(db).await
    }

    async fn give_up_oldest(&mut self, db: &Db) -> Result<(), DbError> {
        let most = self.waiting_events;
        let crowded = db.read(move |tx| deliveries::list_crowded(tx, most / 2)).await?;
        self.crowded.retain(|receiver| crowded.iter().any(|(crowded, _)| crowded == receiver));
        for (receiver, waiting) in crowded.into_iter().filter(|(_, waiting)| *waiting > most) {
            if self.crowded.insert(receiver) {
                let ReceiverId { workspace_id, webhook_id, .. } = receiver;
                let webhook = webhook_id.map_or_else(|| "(named by uploads)".to_owned(), |id| id.to_string());
                tracing::warn!(
                    %workspace_id, webhook, waiting, most,
                    "so many events wait for this receiver (webhooks.waiting_events) that the oldest are given up; \
                     `partway webhooks replay` sends them anew"
                );
            }
            let reason = format!("{most} younger events waited (webhooks.waiting_events)");
            let give_up = move |tx: &Tx<'_>| deliveries::give_up_behind(tx, receiver, most, ROWS_STEP, &reason);
            while db.write_to_free(Durability::Process, give_up.clone()).await? == ROWS_STEP as usize {}
        }
        Ok(())
    }

    async fn forget_aged(&self, db: &Db) -> Result<(), DbError> {
        let until = Timestamp::now().minus_seconds(self.forget_dead_seconds);
        while db.read(move |tx| deliveries::any_dead_before(tx, until)).await? {
            let forget = move |tx: &Tx<'_>| deliveries::forget_dead_before(tx, until, ROWS_STEP);
            db.write_to_free(Durability::Process, forget).await?;
        }
        Ok(())
    }

    async fn forget_oldest(&self, db: &Db) -> Result<(), DbError> {
        let most = self.dead_events;
        for workspace_id in db.read(move |tx| deliveries::list_with_many_dead(tx, most)).await? {
            let forget = move |tx: &Tx<'_>| {
                workspaces::lock(tx, workspace_id)?;
                deliveries::forget_dead_behind(tx, workspace_id, most, ROWS_STEP)
            };
            let mut forgotten = 0;
            loop {
                let step = db.write_to_free(Durability::Process, forget).await?;
                forgotten += step;
                if step < ROWS_STEP as usize {
                    break;
                }
            }
            tracing::warn!(
                %workspace_id, forgotten, most,
                "events that were given up are forgotten: the workspace has more of them than it may keep (webhooks.dead_events)"
            );
        }
        Ok(())
    }
}
