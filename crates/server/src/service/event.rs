//! Events about files and uploads, for webhooks.
//!
//! Invariant: an event is written to the outbox, once for each receiver, in the transaction in which it happens. The
//! dispatcher (`jobs/webhooks/`) sends it.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Notify;
use uuid::Uuid;

use super::file_dto::file_row;
use super::urls::Urls;
use crate::db::files::File;
use crate::db::sessions::Session;
use crate::db::webhook_deliveries::{self, Delivery};
use crate::db::webhooks;
use crate::db::{DbError, Timestamp, Tx, workspaces};

/// Kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A file was created under a name that was free.
    FileCreated,
    /// A file replaced the one with its name.
    FileReplaced,
    /// A file was deleted.
    FileDeleted,
    /// An upload was not completed in time.
    UploadExpired,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::FileCreated, Self::FileReplaced, Self::FileDeleted, Self::UploadExpired];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FileCreated => "file.created",
            Self::FileReplaced => "file.replaced",
            Self::FileDeleted => "file.deleted",
            Self::UploadExpired => "upload.expired",
        }
    }
}

/// The `webhook_url` of an upload.
#[derive(Debug, Clone, Copy)]
pub(super) struct NamedUrl<'a> {
    /// The URL that receives the events of the upload.
    pub(super) url: &'a str,
    /// The key of the upload, whose secret signs the requests.
    pub(super) api_key_id: Uuid,
}

/// A receiver: the webhook of a workspace or the key of an upload, and the URL.
type Receiver = (Option<Uuid>, Option<Uuid>, String);

impl NamedUrl<'_> {
    fn receiver(self) -> Receiver {
        (None, Some(self.api_key_id), self.url.to_owned())
    }
}

/// The webhooks of a workspace that subscribe to this kind of event.
fn webhooks_of(tx: &Tx<'_>, workspace_id: Uuid, kind: EventKind) -> Result<Vec<Receiver>, DbError> {
    let wants = |webhook: &webhooks::Webhook| webhook.events.iter().any(|event| event == kind.as_str());
    let subscribed = webhooks::list(tx, workspace_id)?.into_iter().filter(wants);
    Ok(subscribed.map(|webhook| (Some(webhook.id), None, webhook.url)).collect())
}

/// The event of a published file.
fn kind_of(replaced: Option<&File>) -> EventKind {
    if replaced.is_some() { EventKind::FileReplaced } else { EventKind::FileCreated }
}

/// Writes events to the outbox. Clones share the bell.
#[derive(Debug, Clone)]
pub struct Events {
    urls: Arc<Urls>,
    /// Rings when there may be a new event.
    bell: Arc<Notify>,
}

impl Events {
    /// Events describe files with these URLs.
    pub fn new(urls: Arc<Urls>) -> Self {
        Self { urls, bell: Arc::default() }
    }

    /// Rings when there may be a new event.
    pub fn bell(&self) -> Arc<Notify> {
        Arc::clone(&self.bell)
    }

    /// Rings the bell. Call it after a transaction with events was committed.
    pub(super) fn ring(&self) {
        self.bell.notify_one();
    }

    /// A file was published; `replaced` had its name before. `named` is the URL of the upload: with `hides_replaced` it receives
    /// `file.created`, because the uploader must not learn of the replaced file.
    pub(super) fn file_published(
        &self,
        tx: &Tx<'_>,
        file: &File,
        replaced: Option<&File>,
        named: Option<NamedUrl<'_>>,
        hides_replaced: bool,
    ) -> Result<(), DbError> {
        if let (Some(_), Some(named), true) = (replaced, named, hides_replaced) {
            self.emit_file(tx, file, replaced, webhooks_of(tx, file.workspace_id, EventKind::FileReplaced)?)?;
            return self.emit_file(tx, file, None, vec![named.receiver()]);
        }
        let kind = kind_of(replaced);
        let mut receivers = webhooks_of(tx, file.workspace_id, kind)?;
        receivers.extend(named.map(NamedUrl::receiver));
        self.emit_file(tx, file, replaced, receivers)
    }

    fn emit_file(
        &self,
        tx: &Tx<'_>,
        file: &File,
        replaced: Option<&File>,
        receivers: Vec<Receiver>,
    ) -> Result<(), DbError> {
        self.emit(tx, kind_of(replaced), file.workspace_id, file.origin_id, receivers, |workspace_no| {
            let mut data = self.describe(file, workspace_no);
            if let (Some(members), Some(replaced)) = (data.as_object_mut(), replaced) {
                members.insert("replaced".to_owned(), json!({"id": replaced.id, "file_no": replaced.file_no}));
            }
            data
        })
    }

    /// A file was deleted.
    pub(super) fn file_deleted(&self, tx: &Tx<'_>, file: &File) -> Result<(), DbError> {
        let kind = EventKind::FileDeleted;
        let receivers = webhooks_of(tx, file.workspace_id, kind)?;
        self.emit(tx, kind, file.workspace_id, file.origin_id, receivers, |workspace_no| {
            self.describe(file, workspace_no)
        })
    }

    /// An upload was not completed in time.
    pub(super) fn upload_expired(&self, tx: &Tx<'_>, session: &Session) -> Result<(), DbError> {
        let kind = EventKind::UploadExpired;
        let named = session.webhook_url.as_deref().map(|url| NamedUrl { url, api_key_id: session.api_key_id });
        let mut receivers = webhooks_of(tx, session.workspace_id, kind)?;
        receivers.extend(named.map(NamedUrl::receiver));
        self.emit(tx, kind, session.workspace_id, session.file_id, receivers, |workspace_no| {
            json!({
                "session_id": session.id,
                "uuid": session.file_id,
                "workspace_no": workspace_no,
                "file_name": session.file_name,
                "folder": session.folder,
                "size": session.size_bytes,
                "tags": session.tags,
                "metadata": session.metadata,
                "custom_id": session.custom_id,
                "created_at": session.created_at.to_iso8601(),
                "expire_at": session.expires_at.unix_seconds(),
            })
        })
    }

    fn describe(&self, file: &File, workspace_no: &str) -> Value {
        serde_json::to_value(file_row(file.clone(), workspace_no, &self.urls)).unwrap_or_default()
    }

    /// Writes an event for each receiver. The workspace must be locked, because its events are numbered.
    fn emit(
        &self,
        tx: &Tx<'_>,
        kind: EventKind,
        workspace_id: Uuid,
        subject_id: Uuid,
        receivers: Vec<Receiver>,
        data: impl FnOnce(&str) -> Value,
    ) -> Result<(), DbError> {
        if receivers.is_empty() {
            return Ok(());
        }
        let (event_id, created_at) = (Uuid::now_v7(), Timestamp::now());
        let sequence = webhook_deliveries::next_sequence(tx, workspace_id)?;
        // The members that Standard Webhooks recommends: type, timestamp, data.
        let data = data(&workspaces::number_of(tx, workspace_id)?);
        let payload = json!({"type": kind.as_str(), "timestamp": created_at.to_iso8601(), "data": data}).to_string();
        for (webhook_id, api_key_id, url) in receivers {
            let next_attempt_at = webhook_deliveries::not_before(tx, subject_id, &url)?;
            let delivery = Delivery {
                id: Uuid::now_v7(),
                event_id,
                workspace_id,
                webhook_id,
                api_key_id,
                url,
                event: kind.as_str().to_owned(),
                subject_id,
                sequence,
                payload: payload.clone(),
                created_at,
                attempts: 0,
                next_attempt_at,
                dead_at: None,
                last_error: None,
            };
            webhook_deliveries::insert(tx, &delivery)?;
        }
        Ok(())
    }
}
