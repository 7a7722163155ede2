//! What is too much.

use super::section::section;
use super::value::{Bytes, Count, Retention};
use crate::db::usage::WorkspaceLimits;

section! {
    #[doc = "What is too much."]
    pub struct LimitSettings {
        #[doc = "Largest file that may be uploaded, in bytes (default 5 TiB)."]
        max_file_size: Bytes = "limits.max_file_bytes", "5497558138880";
        #[doc = "Largest file that may be sent in one request, in bytes (default 5 GiB). Larger ones go in parts."]
        max_direct: Bytes = "limits.max_direct_bytes", "5368709120";
        #[doc = "Most files that come in one request at once; one workspace gets a quarter of them. One more waits ten seconds for its turn and is then told 503. Each node counts its own."]
        direct_uploads: Count = "limits.direct_uploads", "256";
        #[doc = "Most bytes that a workspace may hold, files and open sessions together, unless it has a limit of its own (`partway workspaces limit`). Empty: no limit."]
        workspace_storage: Option<Bytes> = "limits.workspace_storage_bytes", "";
        #[doc = "Most open upload sessions of a workspace. Empty: no limit."]
        open_sessions: Option<Count> = "limits.open_sessions", "";
        #[doc = "Most requests in a second with one API key; twice as many at once are let through. Sending parts of a session never counts. Each node counts its own. Empty: no limit."]
        requests_per_key: Option<Count> = "limits.requests_per_key_per_second", "";
        #[doc = "Most requests in a second from one address (of IPv6: one /64), with a key or without; twice as many at once are let through. Sending parts and fetching files never counts. Each node counts its own. Empty: no limit."]
        requests_per_address: Option<Count> = "limits.requests_per_address_per_second", "";
        #[doc = "How long an upload session that was completed, aborted or has expired is remembered (default 7 days): for so long completing it again gives the same answer. Its tags and metadata go when it ends, the rest after this; its id answers 410 from then on."]
        forget_sessions: Retention = "limits.forget_sessions_seconds", "604800";
    }
}

impl LimitSettings {
    /// What counts for a workspace that has no limits of its own.
    pub fn of_workspace(&self) -> WorkspaceLimits {
        let count = |count: Option<Count>| count.map(|count| u64::from(count.0));
        WorkspaceLimits {
            storage_bytes: self.workspace_storage.map(|limit| limit.0),
            max_file_bytes: Some(self.max_file_size.0),
            max_open_sessions: count(self.open_sessions),
            requests_per_second: count(self.requests_per_key),
        }
    }
}
