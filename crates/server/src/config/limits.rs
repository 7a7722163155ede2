//! Limits of files, sessions, requests and public keys.

use super::section::section;
use super::value::{Age, Bytes, Count, Percent, Retention};
use crate::model::PublicLimits;
use crate::model::WorkspaceLimits;

section! {
    #[doc = "Limits."]
    pub struct LimitSettings {
        #[doc = "Largest file that may be uploaded."]
        max_file_bytes: Bytes = "limits.max_file_bytes", "5TiB";
        #[doc = "Largest file that may be sent in one request. Larger ones go in parts."]
        max_direct_bytes: Bytes = "limits.max_direct_bytes", "5GiB";
        #[doc = "Most files that are received in one request each at the same time. The private keys of one workspace get a quarter of them, its public keys an eighth, and all public keys together half. Each request may last as long as a session may live (`ttl_seconds`: 7 days; with a public key `limits.public_session_age_seconds`). One request more waits ten seconds for a slot, then is answered 503. Each node counts its own."]
        direct_uploads: Count = "limits.direct_uploads", "256";
        #[doc = "Most bytes that a workspace may hold, files and open sessions together, unless it has a limit of its own (`partway workspaces limit`). Open sessions of public keys count for public keys alone. Empty: no limit."]
        workspace_storage_bytes: Option<Bytes> = "limits.workspace_storage_bytes", "";
        #[doc = "Most open upload sessions of a workspace; those of public keys count for public keys alone. Empty: no limit."]
        open_sessions: Option<Count> = "limits.open_sessions", "";
        #[doc = "Most folders of a workspace, whichever key makes them. The records of the default take less than 1 GB."]
        workspace_folders: Count = "limits.workspace_folders", "1000000";
        #[doc = "Most requests per second with one API key; a burst may have twice as many. Sending parts of a session never counts. Each node counts its own. Empty: no limit."]
        requests_per_key_per_second: Option<Count> = "limits.requests_per_key_per_second", "";
        #[doc = "Most requests per second from one address (of IPv6: one /64), with a key or without; a burst may have twice as many. Sending parts and fetching files never counts. Each node counts its own. Empty: no limit."]
        requests_per_address_per_second: Option<Count> = "limits.requests_per_address_per_second", "";
        #[doc = "Oldest age to which arriving parts renew an upload session of a private key, if it was not asked to live longer. In the default time, 5 TiB come over a line of 20 Mbit/s. Public keys have `limits.public_session_age_seconds`."]
        session_age_seconds: Retention = "limits.session_age_seconds", "30d";
        #[doc = "How long an upload session is remembered after it was completed, aborted or has expired. During this time, completing it again gives the same answer. Its tags and metadata go when it ends, the rest after this time; from then on its id is answered with 410."]
        forget_sessions_seconds: Retention = "limits.forget_sessions_seconds", "7d";
        #[doc = "Largest file that may be uploaded with a public key. The default holds some hours of video, and keeps an upload by a stranger under a day."]
        public_max_file_bytes: Bytes = "limits.public_max_file_bytes", "50GiB";
        #[doc = "Most open upload sessions of one public key: the number of visitors who can upload at the same time. The records of the default take less than 50 MB."]
        public_key_sessions: Count = "limits.public_key_sessions", "1000";
        #[doc = "Most open upload sessions of all public keys together. With the default, one key has at most a fifth."]
        public_sessions: Count = "limits.public_sessions", "5000";
        #[doc = "Most bytes that the open sessions of one public key may declare together, received or not. The default is about ten of the largest files."]
        public_key_bytes: Bytes = "limits.public_key_bytes", "512GiB";
        #[doc = "Most bytes that the open sessions of all public keys may declare together. With the default, one key has at most half. For a bucket, which has no free space to look at, this is the only bound."]
        public_bytes: Bytes = "limits.public_bytes", "1TiB";
        #[doc = "Most of the disk that the open sessions of all public keys may have together, in percent of the free space and of what they have reserved already. With the default, as much again stays free for private keys. Local storage only."]
        public_disk_percent: Percent = "limits.public_disk_percent", "50";
        #[doc = "Free space that uploads with public keys leave, in percent of the disk's size: completed files of strangers cannot fill the disk either. The default is as much as filesystems keep for their owner. Local storage only."]
        public_keep_free_percent: Percent = "limits.public_keep_free_percent", "5";
        #[doc = "Oldest age that an upload session of a public key may reach, however often its URLs are signed again. A file in one request may take as long. In the default time, 50 GiB come over a line of 5 Mbit/s. Sessions of private keys may live longer."]
        public_session_age_seconds: Age = "limits.public_session_age_seconds", "1d";
        #[doc = "Most folders that uploads with one public key may make; deleted ones do not count. The records of the default take some MB, and lists of folders stay fast."]
        public_key_folders: Count = "limits.public_key_folders", "10000";
    }
}

impl LimitSettings {
    /// Limits of uploads with public keys.
    pub fn of_public_keys(&self) -> PublicLimits {
        PublicLimits {
            max_file_bytes: self.public_max_file_bytes,
            key_sessions: u64::from(self.public_key_sessions),
            sessions: u64::from(self.public_sessions),
            key_bytes: self.public_key_bytes,
            bytes: self.public_bytes,
            disk_percent: u64::from(self.public_disk_percent),
            keep_free_percent: u64::from(self.public_keep_free_percent),
            session_age_seconds: self.public_session_age_seconds.as_secs(),
            key_folders: self.public_key_folders,
            workspace_folders: self.workspace_folders,
        }
    }

    /// Limits of a workspace that has none of its own.
    pub fn of_workspace(&self) -> WorkspaceLimits {
        WorkspaceLimits {
            storage_bytes: self.workspace_storage_bytes,
            max_file_bytes: Some(self.max_file_bytes),
            max_open_sessions: self.open_sessions.map(u64::from),
            requests_per_second: self.requests_per_key_per_second.map(u64::from),
        }
    }
}
