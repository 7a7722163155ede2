//! New URLs for parts of a session, and a longer life for it.

use partway_api::PartPlan;
use uuid::Uuid;

use super::records::Records;
use super::status::Found;
use super::{UploadError, Uploads};
use crate::db::sessions::{self, Session};
use crate::db::{Durability, Timestamp};
use crate::service::key::Identity;

/// What may be signed.
#[derive(Debug, Clone)]
pub struct Resigned {
    /// The session.
    pub session_id: Uuid,
    /// How its file is cut.
    pub plan: PartPlan,
    /// Indices of the parts, ascending.
    pub parts: Vec<u32>,
    /// Until when the URLs are to be good.
    pub expires_at: Timestamp,
    /// The store's URLs of these parts, where they go to the store.
    pub store_urls: Option<Vec<String>>,
}

impl Uploads {
    /// Lets the session live at least `ttl_seconds` from now, with a public key no longer than it may, and says which parts may be signed until then: those of
    /// `wanted`, or all that are missing. When this returns, the longer life survives a power cut.
    ///
    /// # Errors
    /// When the session takes no parts any more, or has no such part.
    pub async fn resign(
        &self,
        identity: &Identity,
        session_id: &str,
        wanted: Option<Vec<u32>>,
        ttl_seconds: u64,
    ) -> Result<Resigned, UploadError> {
        let bounded = |session: &Session| match identity.is_public() {
            true => self.records.public.bound_ttl(session.created_at, ttl_seconds),
            false => Ok(ttl_seconds),
        };
        match self.find(identity, session_id).await? {
            Found::Live(live) => {
                let ttl_seconds = bounded(&live.session)?;
                self.local()?.resign(live, wanted, ttl_seconds).await
            }
            Found::InStore(session) => {
                let ttl_seconds = bounded(&session)?;
                self.s3()?.resign(*session, wanted, ttl_seconds).await
            }
            Found::Ended(session) => Err(UploadError::ended(session.id, session.status)),
        }
    }
}

/// The parts that are asked for, ascending and each once.
pub(super) fn choose(
    wanted: Option<Vec<u32>>,
    missing: impl FnOnce() -> Vec<u32>,
    plan: &PartPlan,
) -> Result<Vec<u32>, UploadError> {
    let Some(mut parts) = wanted else { return Ok(missing()) };
    parts.sort_unstable();
    parts.dedup();
    match parts.last() {
        Some(last) if *last >= plan.parts() => Err(UploadError::NoSuchPart { part_index: *last, total: plan.parts() }),
        _ => Ok(parts),
    }
}

impl Records {
    /// Has the session live until `expires_at`, if that is later than it would.
    pub(super) async fn extend(&self, id: Uuid, expires_at: Timestamp) -> Result<(), UploadError> {
        let extended = self.db.write(Durability::PowerLoss, move |tx| match sessions::extend(tx, id, expires_at)? {
            true => Ok(None),
            false => Ok(Some(sessions::find(tx, id)?.map(|session| session.status))),
        });
        match extended.await? {
            None => Ok(()),
            Some(ended) => Err(UploadError::ended_or_gone(id, ended)),
        }
    }
}
