//! Webhooks: subscriptions to the events of a workspace, and the outbox of their events.

use std::io;

use uuid::Uuid;

use super::admin_error::AdminError;
use super::event::EventKind;
use super::webhook_signer::{PreviousSecret, WebhookSigner};
use super::workspace::choose;
use crate::db::webhook_deliveries::{self, Delivery, WebhookState};
use crate::db::webhooks::{self, Webhook};
use crate::db::{Db, DbError, Durability, Timestamp, Tx};
use crate::input::WebhookUrl;

/// The webhooks of one database.
#[derive(Debug, Clone)]
pub struct Webhooks {
    db: Db,
}

/// A new webhook with the secret that signs its requests.
#[derive(Debug, Clone)]
pub struct NewWebhook {
    /// The row.
    pub stored: Webhook,
    /// The secret, which its receiver verifies requests with.
    pub secret: String,
}

/// The secret of a webhook, or of the URLs named by uploads of an API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSecret {
    /// The secret that signs.
    pub secret: String,
    /// Time of the last rotation; `None` if there was none.
    pub rotated_at: Option<Timestamp>,
    /// The secret before, which signs as well until the end of the grace period.
    pub previous: Option<PreviousSecret>,
}

impl WebhookSecret {
    /// The secret of the webhook, API key or workspace with this id.
    pub(super) fn of(tx: &Tx<'_>, id: Uuid) -> Result<Self, DbError> {
        let signer = WebhookSigner::open(tx)?;
        let previous = signer.previous_secret(id, Timestamp::now());
        Ok(Self { secret: signer.secret(id), rotated_at: signer.rotated_at(), previous })
    }
}

/// A webhook and its part of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedWebhook {
    /// The webhook, with the number of events that were forgotten.
    pub webhook: Webhook,
    /// Its queued events and those given up.
    pub state: WebhookState,
}

/// The outbox of all webhooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookList {
    /// The webhooks, oldest first.
    pub webhooks: Vec<ListedWebhook>,
    /// Queued events of URLs that uploads named, and those given up.
    pub of_uploads: WebhookState,
    /// Events of such URLs that were forgotten.
    pub forgotten_of_uploads: u64,
}

impl Webhooks {
    /// The webhooks of this database.
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    /// Subscribes `url` to events of the workspace with the number `workspace`; without a number, of the only workspace. `show` is
    /// given the secret before the webhook is stored, so no event is sent that its receiver cannot verify.
    ///
    /// # Errors
    /// [`AdminError::UnknownWorkspace`], [`AdminError::WorkspaceNotNamed`]. [`AdminError::NotShown`] and
    /// [`AdminError::NotStored`]: there is no new webhook then.
    pub async fn add(
        &self,
        workspace: Option<String>,
        url: WebhookUrl,
        events: Vec<EventKind>,
        show: impl FnOnce(&NewWebhook) -> io::Result<()>,
    ) -> Result<NewWebhook, AdminError> {
        // Writes the secret of webhooks where there is none yet.
        let drawn = self.db.write(Durability::PowerLoss, move |tx| match choose(tx, workspace.as_deref())? {
            Ok(workspace) => {
                let stored = draw(workspace.id, url.into_inner(), &events);
                let secret = WebhookSigner::open(tx)?.secret(stored.id);
                Ok(Ok(NewWebhook { stored, secret }))
            }
            Err(refused) => Ok(Err(refused)),
        });
        let new = drawn.await??;
        show(&new).map_err(|source| {
            let consequence = "no webhook was added, because its secret could not be shown";
            AdminError::NotShown { consequence, source }
        })?;
        let stored = new.stored.clone();
        let stored = self.db.write(Durability::PowerLoss, move |tx| webhooks::insert(tx, &stored)).await;
        stored.map_err(|source| {
            let consequence = "the secret that was shown verifies nothing, because the webhook could not be stored";
            AdminError::NotStored { consequence, source }
        })?;
        Ok(new)
    }

    /// All webhooks with their part of the outbox.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(&self) -> Result<WebhookList, DbError> {
        let listed = self.db.read(|tx| {
            Ok((
                webhooks::list_all(tx)?,
                webhook_deliveries::states_by_webhook(tx)?,
                webhook_deliveries::forgotten_of_uploads(tx)?,
            ))
        });
        let (webhooks, states, forgotten_of_uploads) = listed.await?;
        let state_of =
            |id| states.iter().find(|state| state.webhook_id == id).cloned().unwrap_or_else(|| WebhookState::quiet(id));
        let webhooks =
            webhooks.into_iter().map(|webhook| ListedWebhook { state: state_of(Some(webhook.id)), webhook }).collect();
        Ok(WebhookList { webhooks, of_uploads: state_of(None), forgotten_of_uploads })
    }

    /// Removes a webhook and its queued events. Works on a full disk.
    ///
    /// # Errors
    /// [`AdminError::UnknownWebhook`].
    pub async fn remove(&self, id: Uuid) -> Result<(), AdminError> {
        let removed = self.db.write_to_free(Durability::PowerLoss, move |tx| webhooks::delete(tx, id)).await?;
        if removed { Ok(()) } else { Err(AdminError::UnknownWebhook(id)) }
    }

    /// The secret of a webhook.
    ///
    /// # Errors
    /// [`AdminError::UnknownWebhook`].
    pub async fn secret(&self, id: Uuid) -> Result<WebhookSecret, AdminError> {
        let found = self.db.write(Durability::PowerLoss, move |tx| match webhooks::find(tx, id)? {
            Some(webhook) => WebhookSecret::of(tx, webhook.id).map(Some),
            None => Ok(None),
        });
        found.await?.ok_or(AdminError::UnknownWebhook(id))
    }

    /// The secret of a workspace. It signed requests to the URLs named by uploads before each key had a secret of its own.
    ///
    /// # Errors
    /// [`AdminError::UnknownWorkspace`], [`AdminError::WorkspaceNotNamed`].
    pub async fn secret_of_workspace(&self, workspace: Option<String>) -> Result<WebhookSecret, AdminError> {
        let found = self.db.write(Durability::PowerLoss, move |tx| match choose(tx, workspace.as_deref())? {
            Ok(workspace) => WebhookSecret::of(tx, workspace.id).map(Ok),
            Err(refused) => Ok(Err(refused)),
        });
        found.await?
    }

    /// The events that were given up, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_dead(&self) -> Result<Vec<Delivery>, DbError> {
        self.db.read(webhook_deliveries::list_dead).await
    }

    /// Queues events again that were given up: those of the webhook, event or delivery with this id, or all. Answers how many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn replay(&self, id: Option<Uuid>) -> Result<usize, DbError> {
        self.db.write(Durability::PowerLoss, move |tx| webhook_deliveries::replay(tx, id)).await
    }
}

/// Adds a webhook within a transaction.
///
/// # Errors
/// When the database fails.
pub fn add(tx: &Tx<'_>, workspace_id: Uuid, url: String, events: &[EventKind]) -> Result<Webhook, DbError> {
    let webhook = draw(workspace_id, url, events);
    webhooks::insert(tx, &webhook)?;
    Ok(webhook)
}

/// A webhook that gets no events until it is inserted.
fn draw(workspace_id: Uuid, url: String, events: &[EventKind]) -> Webhook {
    Webhook {
        id: Uuid::now_v7(),
        workspace_id,
        url,
        events: events.iter().map(|event| event.as_str().to_owned()).collect(),
        created_at: Timestamp::now(),
        events_forgotten: 0,
    }
}
