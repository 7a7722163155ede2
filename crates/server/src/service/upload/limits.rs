//! Limits of a caller's uploads, and of the disk space that public keys may take.

use partway_api::limits::{DEFAULT_MAX_FILE_BYTES, MAX_TTL_SECONDS, MIN_PART_SIZE_BYTES, SMALLEST_PART_BYTES};

use super::direct::LIMIT_OF_ONE_REQUEST;
use super::{UploadError, Uploads};
use crate::db::api_keys;
use crate::input::{SizeLimit, StartRules, TtlLimit};
use crate::model::StorageKind;
use crate::service::key::Identity;
use crate::service::public_keys::StrangersDisk;
use crate::storage::DiskState;

impl Uploads {
    /// Upper bound of one file that the caller uploads.
    pub fn max_file(&self, identity: &Identity) -> SizeLimit {
        let of_all = identity.limits.max_file_bytes.or(self.limits.max_file_bytes).unwrap_or(DEFAULT_MAX_FILE_BYTES);
        let of_public = self.records.public.max_file_bytes;
        if identity.is_public() && of_public < of_all {
            return SizeLimit { bytes: of_public, whose: "with a public key (limits.public_max_file_bytes)" };
        }
        let whose = if identity.limits.max_file_bytes.is_some() { "in this workspace" } else { "on this server" };
        SizeLimit { bytes: of_all, whose }
    }

    /// Upper bound of one file that the caller sends in one request.
    pub(super) fn max_direct(&self, identity: &Identity) -> SizeLimit {
        let max_file = self.max_file(identity);
        match max_file.bytes > self.max_direct_bytes {
            true => SizeLimit { bytes: self.max_direct_bytes, whose: LIMIT_OF_ONE_REQUEST },
            false => max_file,
        }
    }

    /// Smallest part that a client may ask for, in bytes: what the storage of new sessions takes.
    pub fn min_part_bytes(&self) -> u64 {
        match self.backends.primary {
            StorageKind::Local => SMALLEST_PART_BYTES,
            StorageKind::S3 => MIN_PART_SIZE_BYTES,
        }
    }

    /// The rules for sessions that the caller starts.
    pub fn rules(&self, identity: &Identity) -> StartRules {
        StartRules {
            max_file: self.max_file(identity),
            ttl: self.longest_time(identity),
            random_prefix: identity.permissions.random_prefix,
            min_part_bytes: self.min_part_bytes(),
        }
    }

    /// How long the caller may take to upload one file, in a session or in one request.
    pub fn longest_time(&self, identity: &Identity) -> TtlLimit {
        let age_seconds = self.records.public.session_age_seconds;
        if identity.is_public() && age_seconds < MAX_TTL_SECONDS {
            return TtlLimit { seconds: age_seconds, whose: " with a public key (limits.public_session_age_seconds)" };
        }
        TtlLimit { seconds: MAX_TTL_SECONDS, whose: "" }
    }

    /// The space on the disk that the caller's bytes go to; `None` for private keys, which may fill it, and where there is no disk.
    pub(super) async fn disk_of(&self, identity: &Identity) -> Result<Option<DiskState>, UploadError> {
        match identity.is_public() {
            true => self.backends.primary()?.disk().await,
            false => Ok(None),
        }
    }

    /// The same for a session of `size_bytes`, with the bytes that public keys have on the disk where they may decide.
    pub(super) async fn strangers_disk(
        &self,
        identity: &Identity,
        size_bytes: u64,
    ) -> Result<Option<StrangersDisk>, UploadError> {
        let Some(state) = self.disk_of(identity).await? else { return Ok(None) };
        let open = self.records.db.read(api_keys::public_sessions).await?;
        let open_bytes = u64::try_from(open.bytes).unwrap_or_default();
        if !self.records.public.nears_share(open_bytes, size_bytes, state) {
            return Ok(Some(StrangersDisk { state, taken_bytes: 0 }));
        }
        // Counted before the disk is looked at again: bytes that arrive in between count as used, and not as those of public keys.
        let taken_bytes = self.backends.primary()?.bytes_of_public_keys().await?;
        Ok(self.disk_of(identity).await?.map(|state| StrangersDisk { state, taken_bytes }))
    }
}
