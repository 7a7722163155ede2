//! `/api/v1/multipart/…`

pub mod abort;
pub mod complete;
pub mod list;
pub mod part;
pub mod resign;
pub mod start;
pub mod status;

use partway_api::PartPlan;
use uuid::Uuid;

use crate::db::Timestamp;
use crate::service::urls::Urls;
use crate::storage::presign::PartPermission;

/// The presigned URL of one part.
fn part_url(urls: &Urls, session_id: Uuid, plan: &PartPlan, part_index: u32, expires_at: Timestamp) -> String {
    let length_bytes = plan.part_len(part_index).unwrap_or_default();
    urls.part(&PartPermission { session_id, part_index, length_bytes, expires_at: expires_at.unix_seconds() })
}
