//! Events: what happens to files and uploads, told to whoever wants to know.
//!
//! Invariant: an event is written to the outbox in the transaction in which it happens, for everybody who is to be told.
//! What is told later, and how, is `jobs/webhooks.rs`.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Notify;
use uuid::Uuid;

use super::record::file_row;
use super::urls::Urls;
use crate::db::deliveries::{self, Delivery};
use crate::db::files::File;
use crate::db::sessions::Session;
use crate::db::webhooks;
use crate::db::{DbError, Timestamp, Tx, workspaces};

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A file is there under a name that was free.
    FileCreated,
    /// A file took the place of another one under its name.
    FileReplaced,
    /// A file is gone.
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

/// A URL that came with an upload.
#[derive(Debug, Clone, Copy)]
pub(super) struct NamedUrl<'a> {
    /// Where what becomes of the upload is told.
    pub(super) url: &'a str,
    /// The key of the upload, whose secret signs what is sent there.
    pub(super) api_key_id: Uuid,
}

/// Writes events. Clones share it.
#[derive(Clone)]
pub struct Events {
    urls: Arc<Urls>,
    /// Rings when there may be something to tell.
    bell: Arc<Notify>,
}

impl Events {
    /// Files are told with these URLs.
    pub fn new(urls: Arc<Urls>) -> Self {
        Self { urls, bell: Arc::default() }
    }

    /// Rings when there may be something to tell.
    pub fn bell(&self) -> Arc<Notify> {
        Arc::clone(&self.bell)
    }

    /// Call when a transaction with events is committed.
    pub(super) fn ring(&self) {
        self.bell.notify_one();
    }

    /// A file became visible; `replaced` was there under its name. `named` came with the upload.
    pub(super) fn file_published(
        &self,
        tx: &Tx<'_>,
        file: &File,
        replaced: Option<&File>,
        named: Option<NamedUrl<'_>>,
    ) -> Result<(), DbError> {
        let kind = if replaced.is_some() { EventKind::FileReplaced } else { EventKind::FileCreated };
        self.tell(tx, kind, file.workspace_id, file.origin_id, named, |workspace_no| {
            let mut data = self.of_file(file, workspace_no);
            if let (Some(members), Some(replaced)) = (data.as_object_mut(), replaced) {
                members.insert("replaced".to_owned(), json!({"id": replaced.id, "file_no": replaced.file_no}));
            }
            data
        })
    }

    /// A file is gone.
    pub(super) fn file_deleted(&self, tx: &Tx<'_>, file: &File) -> Result<(), DbError> {
        let kind = EventKind::FileDeleted;
        self.tell(tx, kind, file.workspace_id, file.origin_id, None, |workspace_no| self.of_file(file, workspace_no))
    }

    /// An upload was not completed in time.
    pub(super) fn upload_expired(&self, tx: &Tx<'_>, session: &Session) -> Result<(), DbError> {
        let kind = EventKind::UploadExpired;
        let named = session.webhook_url.as_deref().map(|url| NamedUrl { url, api_key_id: session.api_key_id });
        self.tell(tx, kind, session.workspace_id, session.file_id, named, |workspace_no| {
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

    fn of_file(&self, file: &File, workspace_no: &str) -> Value {
        serde_json::to_value(file_row(file.clone(), workspace_no, &self.urls)).unwrap_or_default()
    }

    /// The workspace must be locked: its events are numbered.
    fn tell(
        &self,
        tx: &Tx<'_>,
        kind: EventKind,
        workspace_id: Uuid,
        subject_id: Uuid,
        named: Option<NamedUrl<'_>>,
        data: impl FnOnce(&str) -> Value,
    ) -> Result<(), DbError> {
        let wants = |webhook: &webhooks::Webhook| webhook.events.iter().any(|event| event == kind.as_str());
        let subscribed = webhooks::list(tx, workspace_id)?.into_iter().filter(wants);
        let mut receivers: Vec<_> = subscribed.map(|webhook| (Some(webhook.id), None, webhook.url)).collect();
        receivers.extend(named.map(|named| (None, Some(named.api_key_id), named.url.to_owned())));
        if receivers.is_empty() {
            return Ok(());
        }
        let (event_id, created_at) = (Uuid::now_v7(), Timestamp::now());
        let sequence = deliveries::next_sequence(tx, workspace_id)?;
        // As Standard Webhooks recommends it: type, timestamp, data.
        let data = data(&workspaces::number_of(tx, workspace_id)?);
        let payload = json!({"type": kind.as_str(), "timestamp": created_at.to_iso8601(), "data": data}).to_string();
        for (webhook_id, api_key_id, url) in receivers {
            let next_attempt_at = deliveries::not_before(tx, subject_id, &url)?;
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
            deliveries::insert(tx, &delivery)?;
        }
        Ok(())
    }
}
