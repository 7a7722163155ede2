//! New URLs for parts of a session, and a longer life for it.

use partway_api::PartPlan;
use uuid::Uuid;

use super::registry::Found;
use super::{UploadError, Uploads};
use crate::db::{Durability, Timestamp, sessions};
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
}

impl Uploads {
    /// Lets the session live at least `ttl_seconds` from now, and says which parts may be signed until then: those of
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
        let live = match self.find(identity, session_id).await? {
            Found::Live(live) => live,
            Found::Ended(session) => return Err(UploadError::ended(session.id, session.status)),
        };
        let id = live.session.id;
        let parts = match wanted {
            Some(mut parts) => {
                parts.sort_unstable();
                parts.dedup();
                match parts.last() {
                    Some(last) if *last >= live.plan.parts() => {
                        return Err(UploadError::NoSuchPart { part_index: *last, total: live.plan.parts() });
                    }
                    _ => parts,
                }
            }
            None => live.parts().1,
        };
        let _deciding = live.ending.lock().await;
        if let Some(status) = live.ended() {
            return Err(UploadError::ended(id, status));
        }
        let now = Timestamp::now();
        if live.expires_at() <= now {
            return Err(UploadError::SessionExpired(id));
        }
        let expires_at = now.plus_seconds(ttl_seconds);
        let extended = self.db.write(Durability::PowerLoss, move |tx| match sessions::extend(tx, id, expires_at)? {
            true => Ok(None),
            false => Ok(Some(sessions::find(tx, id)?.map(|session| session.status))),
        });
        if let Some(ended) = extended.await? {
            return Err(UploadError::ended_or_gone(id, ended));
        }
        live.extend(expires_at);
        Ok(Resigned { session_id: id, plan: live.plan, parts, expires_at })
    }
}
