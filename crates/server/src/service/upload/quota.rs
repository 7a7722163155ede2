//! How much of a workspace's quota is left.

use crate::db::usage::{Counting, Usage};

/// How full a workspace with a limit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaHeadroom {
    /// Bytes in files and in the open sessions that count, without the file that is replaced.
    pub counted_bytes: u64,
    /// What may be.
    pub limit_bytes: u64,
}

impl QuotaHeadroom {
    /// What is left.
    pub fn left_bytes(&self) -> u64 {
        self.limit_bytes.saturating_sub(self.counted_bytes)
    }
}

/// The open sessions that take room from a new upload. Those of strangers take none from a private key's: they have what it leaves,
/// now and when they are published.
pub(super) fn counted_at_start(is_public: bool) -> Counting {
    if is_public { Counting::All } else { Counting::Private }
}

/// The room that is left in a workspace for what replaces a file of so many bytes, beside its files and the sessions that are
/// `counting`; `None` where nothing limits it.
///
/// A session that replaces a file counts with all of its bytes while it is open: the bytes that it will free are not given to a
/// second one.
pub(super) fn quota_headroom(
    usage: &Usage,
    counting: Counting,
    settings_limit: Option<u64>,
    replaced_bytes: u64,
) -> Option<QuotaHeadroom> {
    let limit_bytes = usage.limits.storage_bytes.or(settings_limit)?;
    Some(QuotaHeadroom { counted_bytes: usage.counted_bytes(counting).saturating_sub(replaced_bytes), limit_bytes })
}
