//! New URLs for parts of a session, and a longer life for it.

use partway_api::PartPlan;
use uuid::Uuid;

use super::UploadError;
use super::records::Records;
use crate::db::sessions;
use crate::db::{Durability, Timestamp};

/// Parts for which URLs may be signed.
#[derive(Debug, Clone)]
pub struct Resigned {
    /// The session.
    pub session_id: Uuid,
    /// How its file is cut.
    pub plan: PartPlan,
    /// Indices of the parts, ascending.
    pub parts: Vec<u32>,
    /// When the URLs are to expire.
    pub expires_at: Timestamp,
    /// The store's URLs of these parts; `None` where parts go to this server, which signs its own.
    pub store_urls: Option<Vec<String>>,
}

/// The parts that are asked for, ascending and without duplicates; those that are missing when `wanted` is `None`.
///
/// # Errors
/// [`UploadError::NoSuchPart`] for an index beyond the plan.
pub(in crate::service::upload) fn choose(
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
    /// Extends the session's life to `expires_at`, if that is later than its present end, and lets parts renew it by `ttl_seconds`
    /// at least. Durable when this returns.
    ///
    /// # Errors
    /// When the session has ended or is gone.
    pub(in crate::service::upload) async fn extend(
        &self,
        id: Uuid,
        expires_at: Timestamp,
        ttl_seconds: u64,
    ) -> Result<(), UploadError> {
        let extended =
            self.db.write(Durability::PowerLoss, move |tx| match sessions::extend(tx, id, expires_at, ttl_seconds)? {
                true => Ok(None),
                false => Ok(Some(sessions::find(tx, id)?.map(|session| session.status))),
            });
        match extended.await? {
            None => Ok(()),
            Some(ended) => Err(UploadError::ended_or_gone(id, ended)),
        }
    }
}
