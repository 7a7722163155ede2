//! The limits of public keys, which strangers have.
//!
//! Invariant: no use of public keys keeps a private key from starting uploads.
//! - Disk: open uploads with public keys, of each key and of all together, hold at most a share of the free space, and end at a maximum
//!   age. A part of the disk is closed to uploads with public keys.
//! - Quota: an upload with a public key gets only the part of a workspace's quota that files and open uploads of private keys leave, both at
//!   start and when it is published. A private key gets its quota as if no upload with a public key were open (`Counting`).
//! - Permits: an upload with a public key takes none from private keys (`upload/fair_permits.rs`, `upload/direct/bytes_in_flight.rs`).
//!
//! A refusal names the limit, and reveals nothing about the uploads of others.
//!
//! The limits are exact, those of all keys together too: sessions of public keys are started one after the other, in all
//! workspaces and on all nodes.

use partway_api::ErrorCode;

use super::folder::{check_new_folders, count_missing};
use super::key::Identity;
use crate::db::api_keys::{self, ApiKey};
use crate::db::{DbError, Timestamp, Tx, folders};
use crate::input::{InvalidInput, WebhookUrl, quote_for_message};
use crate::model::PublicLimits;
use crate::storage::DiskState;

/// The disk for the bytes of public keys.
#[derive(Debug, Clone, Copy)]
pub(super) struct StrangersDisk {
    /// Its size and free space.
    pub(super) state: DiskState,
    /// Bytes on it of the open sessions of all public keys, which the free space no longer includes.
    pub(super) taken_bytes: u64,
}

/// The refusal of a request above a limit.
fn refused(message: String) -> InvalidInput {
    InvalidInput { code: ErrorCode::StorageLimitExceeded, message }
}

impl PublicLimits {
    /// Checks that a session for `size_bytes` may be started with the key in this transaction. `disk` is given if its bytes go to
    /// local storage. The key's workspace must be locked.
    pub(super) fn check_session(
        &self,
        tx: &Tx<'_>,
        key: &ApiKey,
        size_bytes: u64,
        disk: Option<&StrangersDisk>,
    ) -> Result<Result<(), InvalidInput>, DbError> {
        api_keys::lock_public_sessions(tx)?;
        let all = api_keys::public_sessions(tx)?;
        let number = |number: i64| u64::try_from(number).unwrap_or_default();
        if number(key.sessions.count) >= self.key_sessions {
            let limit = self.key_sessions;
            return Ok(Err(refused(format!(
                "this public key has {limit} open uploads, which is the maximum (limits.public_key_sessions); complete or abort \
                 some, or let them expire"
            ))));
        }
        if number(all.count) >= self.sessions {
            let limit = self.sessions;
            return Ok(Err(refused(format!(
                "the public keys of this server have {limit} open uploads, which is the maximum (limits.public_sessions); try \
                 again when some have ended"
            ))));
        }
        let left = self.key_bytes.saturating_sub(number(key.sessions.bytes));
        if size_bytes > left {
            let limit = self.key_bytes;
            return Ok(Err(refused(format!(
                "`size` is {size_bytes}; allowed: at most {left}, the rest of the {limit} bytes that the open uploads of a \
                 public key may have (limits.public_key_bytes)"
            ))));
        }
        let together = number(all.bytes).saturating_add(size_bytes);
        if together > self.bytes {
            let limit = self.bytes;
            return Ok(Err(refused(format!(
                "`size` is {size_bytes}; allowed: the rest of the {limit} bytes that the open uploads of all public keys \
                 may have together (limits.public_bytes)"
            ))));
        }
        let Some(disk) = disk else { return Ok(Ok(())) };
        if together > self.share_of(disk) {
            let percent = self.disk_percent;
            return Ok(Err(refused(format!(
                "`size` is {size_bytes}; allowed: the rest of the {percent} % of the free disk space that the open uploads of all \
                 public keys may have together (limits.public_disk_percent)"
            ))));
        }
        Ok(self.check_disk("size", size_bytes, &disk.state))
    }

    /// Upper bound of the bytes of the open sessions of all public keys on the disk, existing ones included.
    fn share_of(&self, disk: &StrangersDisk) -> u64 {
        percent_of(self.disk_percent, disk.state.left_bytes().saturating_add(disk.taken_bytes))
    }

    /// Whether the bytes on the disk must be counted to decide on a session of `size_bytes`. They need not be while all open sessions
    /// together are far below the share.
    pub(super) fn nears_share(&self, open_bytes: u64, size_bytes: u64, state: DiskState) -> bool {
        let share = self.share_of(&StrangersDisk { state, taken_bytes: 0 });
        open_bytes.saturating_add(size_bytes) > share / 2
    }

    /// Checks that the disk has enough free space left after `size_bytes` more.
    pub(super) fn check_disk(&self, field: &str, size_bytes: u64, disk: &DiskState) -> Result<(), InvalidInput> {
        let taken_bytes = disk.promised_bytes.saturating_add(size_bytes);
        if disk.free_bytes >= self.kept_bytes(disk).saturating_add(taken_bytes) {
            return Ok(());
        }
        let percent = self.keep_free_percent;
        Err(refused(format!(
            "`{field}` is {size_bytes}; allowed: bytes that leave {percent} % of the disk free, which public keys may not \
             use (limits.public_keep_free_percent)"
        )))
    }

    /// Bytes of the disk that public keys may not use.
    pub(super) fn kept_bytes(&self, disk: &DiskState) -> u64 {
        percent_of(self.keep_free_percent, disk.size_bytes).max(disk.kept_bytes)
    }

    /// Checks that the missing folders of `path` may be created with the key.
    pub(super) fn check_new_folders(
        &self,
        tx: &Tx<'_>,
        key: &ApiKey,
        path: &str,
    ) -> Result<Result<(), InvalidInput>, DbError> {
        if let Err(refused) = check_new_folders(tx, key.workspace_id, "folder", path, self.workspace_folders)? {
            // The message for strangers must not reveal the number of folders.
            let hidden =
                "the workspace has the maximum number of folders; its owner can delete some, or raise the limit";
            return Ok(Err(if key.is_public() { self::refused(hidden.to_owned()) } else { refused }));
        }
        if !key.is_public() {
            return Ok(Ok(()));
        }
        let missing = count_missing(tx, key.workspace_id, path)?;
        let made = folders::count_made_with(tx, key.id, self.key_folders)?;
        if made.saturating_add(missing) <= u64::from(self.key_folders) {
            return Ok(Ok(()));
        }
        let left = u64::from(self.key_folders).saturating_sub(made);
        let was = format!("{}, of which {missing} folders do not exist", quote_for_message(path));
        let limit = self.key_folders;
        let allowed = format!(
            "existing folders, and {left} new ones: uploads with a public key may create {limit} \
             (limits.public_key_folders)"
        );
        Ok(Err(InvalidInput::new(ErrorCode::StorageLimitExceeded, "folder", was, allowed)))
    }

    /// The lifetime of URLs that are requested now: `ttl_seconds`, or the rest of the maximum age of the session.
    pub(super) fn bound_ttl(&self, created_at: Timestamp, ttl_seconds: u64) -> Result<u64, InvalidInput> {
        let most = self.session_age_seconds;
        let age = u64::try_from(Timestamp::now().unix_seconds() - created_at.unix_seconds()).unwrap_or_default();
        match most.saturating_sub(age) {
            0 => {
                let was = format!("{ttl_seconds}, and the session is {age} seconds old");
                let allowed = format!(
                    "sessions of a public key that are at most {most} seconds old (limits.public_session_age_seconds)"
                );
                Err(InvalidInput::new(ErrorCode::InvalidTtl, "ttl_seconds", was, allowed))
            }
            left => Ok(ttl_seconds.min(left)),
        }
    }
}

/// The percentage of `bytes`, rounded down.
fn percent_of(percent: u64, bytes: u64) -> u64 {
    u64::try_from(u128::from(bytes) * u128::from(percent) / 100).unwrap_or(u64::MAX)
}

/// Checks that uploads of the key may name a `webhook_url`.
///
/// # Errors
/// FORBIDDEN when they may not.
pub fn check_webhook_url(identity: &Identity, url: Option<&WebhookUrl>) -> Result<(), InvalidInput> {
    match url {
        Some(_) if identity.is_public() && !identity.permissions.may_name_webhooks => {
            let allowed =
                "none with this public key, which may not name webhooks (`partway keys create --may-name-webhooks`)";
            Err(InvalidInput::new(ErrorCode::Forbidden, "webhook_url", "set", allowed))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> PublicLimits {
        crate::config::LimitSettings::default().of_public_keys()
    }

    #[test]
    fn a_disk_that_has_its_share_left_is_used_and_no_further() {
        let limits = PublicLimits { keep_free_percent: 10, ..limits() };
        let disk = DiskState { free_bytes: 150, size_bytes: 1000, promised_bytes: 0, kept_bytes: 20 };
        assert!(limits.check_disk("size", 50, &disk).is_ok());
        let refused = limits.check_disk("size", 51, &disk).unwrap_err();
        assert!(refused.message.contains("limits.public_keep_free_percent"), "{refused}");
        // Bytes promised to others count as used.
        let busy = DiskState { promised_bytes: 10, ..disk };
        assert!(limits.check_disk("size", 40, &busy).is_ok() && limits.check_disk("size", 41, &busy).is_err());
        // Space that is kept free of all uploads stays free, too.
        let kept = DiskState { kept_bytes: 120, ..disk };
        assert!(limits.check_disk("size", 30, &kept).is_ok() && limits.check_disk("size", 31, &kept).is_err());
    }

    #[test]
    fn bytes_that_arrived_do_not_count_twice() {
        let limits = PublicLimits { disk_percent: 50, ..limits() };
        let share = |free_bytes, taken_bytes| {
            let state = DiskState { free_bytes, size_bytes: 1000, promised_bytes: 0, kept_bytes: 0 };
            limits.share_of(&StrangersDisk { state, taken_bytes })
        };
        assert_eq!((share(400, 0), share(300, 100), share(200, 200)), (200, 200, 200));
        let state = DiskState { free_bytes: 400, size_bytes: 1000, promised_bytes: 0, kept_bytes: 0 };
        assert!(!limits.nears_share(50, 50, state) && limits.nears_share(50, 51, state));
    }

    #[test]
    fn no_session_outlives_its_age_however_often_it_is_signed_again() {
        let limits = PublicLimits { session_age_seconds: 100, ..limits() };
        let started = |seconds| Timestamp::now().minus_seconds(seconds);
        assert_eq!(limits.bound_ttl(started(0), 40).unwrap(), 40);
        assert!((29..=31).contains(&limits.bound_ttl(started(70), 40).unwrap()));
        let refused = limits.bound_ttl(started(101), 1).unwrap_err();
        assert!(refused.message.contains("limits.public_session_age_seconds"), "{refused}");
    }

    #[test]
    fn percent_of_large_disks_does_not_overflow() {
        assert_eq!((percent_of(50, u64::MAX), percent_of(5, 1000), percent_of(0, 7)), (u64::MAX / 2, 50, 0));
    }
}
