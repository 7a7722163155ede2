//! What is too much.

use super::section::section;
use super::value::{Age, Bytes, Count, Percent, Retention};
use crate::model::PublicLimits;
use crate::model::WorkspaceLimits;

section! {
    #[doc = "What is too much."]
    pub struct LimitSettings {
        #[doc = "Largest file that may be uploaded, in bytes (default 5 TiB)."]
        max_file_size: Bytes = "limits.max_file_bytes", "5497558138880";
        #[doc = "Largest file that may be sent in one request, in bytes (default 5 GiB). Larger ones go in parts."]
        max_direct: Bytes = "limits.max_direct_bytes", "5368709120";
        #[doc = "Most files that come in one request at once; the private keys of one workspace get a quarter of them, its public keys an eighth, and all public keys half. Each may come for as long as a session may live (`ttl_seconds`: 7 days, with a public key `limits.public_session_age_seconds`). One more waits ten seconds for its turn and is then told 503. Each node counts its own."]
        direct_uploads: Count = "limits.direct_uploads", "256";
        #[doc = "Most bytes that a workspace may hold, files and open sessions together, unless it has a limit of its own (`partway workspaces limit`). Open sessions of public keys count for public keys alone. Empty: no limit."]
        workspace_storage: Option<Bytes> = "limits.workspace_storage_bytes", "";
        #[doc = "Most open upload sessions of a workspace; those of public keys count for public keys alone. Empty: no limit."]
        open_sessions: Option<Count> = "limits.open_sessions", "";
        #[doc = "Most folders of a workspace, whoever makes them (default 1000000: their records take less than 1 GB)."]
        workspace_folders: Count = "limits.workspace_folders", "1000000";
        #[doc = "Most requests in a second with one API key; twice as many at once are let through. Sending parts of a session never counts. Each node counts its own. Empty: no limit."]
        requests_per_key: Option<Count> = "limits.requests_per_key_per_second", "";
        #[doc = "Most requests in a second from one address (of IPv6: one /64), with a key or without; twice as many at once are let through. Sending parts and fetching files never counts. Each node counts its own. Empty: no limit."]
        requests_per_address: Option<Count> = "limits.requests_per_address_per_second", "";
        #[doc = "How long an upload session that was completed, aborted or has expired is remembered (default 7 days): for so long completing it again gives the same answer. Its tags and metadata go when it ends, the rest after this; its id answers 410 from then on."]
        forget_sessions: Retention = "limits.forget_sessions_seconds", "604800";
        #[doc = "Largest file that may be uploaded with a public key, in bytes (default 50 GiB: some hours of video; nothing that a stranger sends takes a day)."]
        public_file: Bytes = "limits.public_max_file_bytes", "53687091200";
        #[doc = "Most open upload sessions of one public key (default 1000: so many visitors who upload at the same time; what their records take stays under 50 MB)."]
        public_key_sessions: Count = "limits.public_key_sessions", "1000";
        #[doc = "Most open upload sessions of all public keys together (default 5000: no key has more than a fifth)."]
        public_sessions: Count = "limits.public_sessions", "5000";
        #[doc = "Most bytes that the open sessions of one public key may have, whether they have come or not (default 512 GiB: ten of the largest files)."]
        public_key_bytes: Bytes = "limits.public_key_bytes", "549755813888";
        #[doc = "Most bytes that the open sessions of all public keys may have together (default 1 TiB: no key has more than half). With a bucket, which has no disk that could be looked at, this alone bounds them."]
        public_bytes: Bytes = "limits.public_bytes", "1099511627776";
        #[doc = "Most of the disk that the open sessions of all public keys may have together, in percent of its free room and of what they have on it already (default 50: with all that strangers ask for, as much again is there for private keys). Local storage only."]
        public_disk_share: Percent = "limits.public_disk_percent", "50";
        #[doc = "How much of the disk uploads with public keys leave free, in percent of its size (default 5, as much as filesystems keep for their owner): also what strangers complete cannot fill it. Local storage only."]
        public_keep_free: Percent = "limits.public_keep_free_percent", "5";
        #[doc = "How old an upload session of a public key may become, however often its URLs are signed anew, in seconds (default one day: 50 GiB over a line of 5 Mbit/s). A file in one request may take as long. A private key may let a session live longer."]
        public_session_age: Age = "limits.public_session_age_seconds", "86400";
        #[doc = "Most folders that uploads with one public key may make; those that were deleted do not count (default 10000: their records take some MB, and lists of folders stay fast)."]
        public_key_folders: Count = "limits.public_key_folders", "10000";
    }
}

impl LimitSettings {
    /// Limits of uploads with public keys.
    pub fn of_public_keys(&self) -> PublicLimits {
        PublicLimits {
            max_file_bytes: self.public_file.0,
            key_sessions: u64::from(self.public_key_sessions.0),
            sessions: u64::from(self.public_sessions.0),
            key_bytes: self.public_key_bytes.0,
            bytes: self.public_bytes.0,
            disk_percent: u64::from(self.public_disk_share.0),
            keep_free_percent: u64::from(self.public_keep_free.0),
            session_age_seconds: self.public_session_age.0,
            key_folders: self.public_key_folders.0,
            workspace_folders: self.workspace_folders.0,
        }
    }

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
