//! The rules of sessions that no kind of storage changes: who may see one, what its parts and hashes must be, how much of the quota
//! it takes, and the transactions that start, publish and end it.
//!
//! Invariant: nothing here imports a backend. `local/` and `s3/` call these rules, and only these.

mod access;
mod draft;
mod end;
mod hashes;
mod new_session;
mod publish;
pub(super) mod quota;
mod records;
mod resign;
mod state;

use partway_api::PartPlan;

pub(in crate::service::upload) use access::{authorize, check_uuid};
pub(in crate::service::upload) use draft::{UPLOAD_SOURCE, draft, file_type, likely_content_type};
pub use end::Ending;
pub(in crate::service::upload) use end::end_session;
pub use hashes::ExpectedHashes;
pub(in crate::service::upload) use hashes::{
    check_etags_are_compared, check_hash, check_hash_kind, check_noted_etags, completed_file,
};
pub use new_session::{Idempotency, NewSession, SessionStart};
pub(in crate::service::upload) use new_session::{PublicStart, StoredStart, new_session};
pub(in crate::service::upload) use publish::{Occasion, Published};
pub use quota::QuotaHeadroom;
pub(in crate::service::upload) use quota::{counted_at_start, quota_headroom};
pub(in crate::service::upload) use records::{PartRecords, Records};
pub use resign::Resigned;
pub(in crate::service::upload) use resign::choose;
pub use state::{SessionInList, SessionPage, SessionState, Uploaded};

use super::error::UploadError;
use crate::db::DbError;
use crate::db::sessions::Session;

/// How the session's file is cut into parts.
///
/// # Errors
/// [`DbError::Corrupt`] when the stored sizes make no plan.
pub(in crate::service) fn plan_of(session: &Session) -> Result<PartPlan, UploadError> {
    PartPlan::from_stored(session.size_bytes, session.part_size_bytes).ok_or_else(|| {
        let problem = format!("{} bytes in parts of {}", session.size_bytes, session.part_size_bytes);
        DbError::Corrupt { table: "sessions", problem }.into()
    })
}
