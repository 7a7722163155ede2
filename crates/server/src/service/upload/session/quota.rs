//! How much of a workspace's quota is left for a new upload.

use crate::db::usage::{Counting, Usage};

/// How much of its limit a workspace uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaHeadroom {
    /// Bytes of files and of the open sessions that count, without the file that is replaced.
    pub counted_bytes: u64,
    /// Upper bound of these bytes.
    pub limit_bytes: u64,
}

impl QuotaHeadroom {
    /// Bytes that the workspace may still take.
    pub fn left_bytes(&self) -> u64 {
        self.limit_bytes.saturating_sub(self.counted_bytes)
    }
}

/// The open sessions that count against a new upload. Those of public keys do not count against a private key: they get the bytes
/// that private keys leave, both when they start and when they are published.
pub(in crate::service::upload) fn counted_at_start(is_public: bool) -> Counting {
    if is_public { Counting::All } else { Counting::Private }
}

/// The quota that is left for an upload that replaces a file of `replaced_bytes`, given the workspace's files and the open sessions
/// that `counting` names; `None` where the workspace has no limit.
///
/// A session that replaces a file counts with all of its bytes while it is open, so the bytes that it will free are not granted
/// twice.
pub(in crate::service::upload) fn quota_headroom(
    usage: &Usage,
    counting: Counting,
    settings_limit: Option<u64>,
    replaced_bytes: u64,
) -> Option<QuotaHeadroom> {
    let limit_bytes = usage.limits.storage_bytes.or(settings_limit)?;
    Some(QuotaHeadroom { counted_bytes: usage.counted_bytes(counting).saturating_sub(replaced_bytes), limit_bytes })
}
