//! The limits of public keys: strangers have them.
//!
//! Invariant: whatever is done with public keys, a private key can still start uploads. Open uploads of public keys hold at
//! most a share of the disk's free room, together and each key by itself; they end at a certain age; and a part of the disk
//! is left alone by everything that comes with a public key. They have of a workspace's bytes and sessions only what its files and
//! the open uploads of private keys leave, when they start and again when they are published: for private keys they count nothing
//! (`Counting`). Turns of private keys are never theirs (`in_flight.rs`). Whatever a limit refuses, the answer names the limit, and
//! tells nothing of what others have.
//!
//! They hold exactly, those of all keys together as well: sessions of public keys are opened one after the other, in all
//! workspaces and on all nodes.

use partway_api::ErrorCode;

use super::folder::{check_new_folders, count_missing};
use super::key::Identity;
use crate::db::api_keys::{self, ApiKey};
use crate::db::{DbError, Timestamp, Tx, folders};
use crate::input::{InvalidInput, WebhookUrl, quote_for_message};
use crate::model::PublicLimits;
use crate::storage::DiskState;

/// The disk that the bytes of strangers go to.
#[derive(Debug, Clone, Copy)]
pub(super) struct StrangersDisk {
    /// How full it is.
    pub(super) state: DiskState,
    /// Bytes of the open sessions of all public keys that are on it already: its free room is less by them.
    pub(super) taken_bytes: u64,
}

/// Refuses what public keys may not have so much of.
fn refused(message: String) -> InvalidInput {
    InvalidInput { code: ErrorCode::StorageLimitExceeded, message }
}

impl PublicLimits {
    /// Whether a session for `size_bytes` may be opened with the key, until the transaction ends. `disk`: where its bytes go to
    /// one. The key's workspace must be locked.
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
                "this public key has as many open uploads as it may: {limit} (limits.public_key_sessions); complete or abort \
                 some, or let them expire"
            ))));
        }
        if number(all.count) >= self.sessions {
            let limit = self.sessions;
            return Ok(Err(refused(format!(
                "the public keys of this server have as many open uploads as they may: {limit} (limits.public_sessions); come \
                 again when some have ended"
            ))));
        }
        let left = self.key_bytes.saturating_sub(number(key.sessions.bytes));
        if size_bytes > left {
            let limit = self.key_bytes;
            return Ok(Err(refused(format!(
                "`size` is {size_bytes}; allowed: at most {left}, what is left of the {limit} bytes that the open uploads of a \
                 public key may have (limits.public_key_bytes)"
            ))));
        }
        let together = number(all.bytes).saturating_add(size_bytes);
        if together > self.bytes {
            let limit = self.bytes;
            return Ok(Err(refused(format!(
                "`size` is {size_bytes}; allowed: what is left of the {limit} bytes that the open uploads of all public keys \
                 may have together (limits.public_bytes)"
            ))));
        }
        let Some(disk) = disk else { return Ok(Ok(())) };
        if together > self.share_of(disk) {
            let percent = self.disk_percent;
            return Ok(Err(refused(format!(
                "`size` is {size_bytes}; allowed: what is left of {percent} % of the disk's free room, which the open uploads \
                 of all public keys may have together (limits.public_disk_percent)"
            ))));
        }
        Ok(self.check_disk("size", size_bytes, &disk.state))
    }

    /// How many bytes the open sessions of all public keys may have on the disk together, those included that are there already.
    fn share_of(&self, disk: &StrangersDisk) -> u64 {
        percent_of(self.disk_percent, disk.state.left_bytes().saturating_add(disk.taken_bytes))
    }

    /// Whether it matters for a session of `size_bytes` how much of the disk the others have: not while there is room for much
    /// more than all of them.
    pub(super) fn nears_share(&self, open_bytes: u64, size_bytes: u64, state: DiskState) -> bool {
        let share = self.share_of(&StrangersDisk { state, taken_bytes: 0 });
        open_bytes.saturating_add(size_bytes) > share / 2
    }

    /// Whether the disk has enough left with so many bytes more.
    pub(super) fn check_disk(&self, field: &str, size_bytes: u64, disk: &DiskState) -> Result<(), InvalidInput> {
        let taken_bytes = disk.promised_bytes.saturating_add(size_bytes);
        if disk.free_bytes >= self.kept_bytes(disk).saturating_add(taken_bytes) {
            return Ok(());
        }
        let percent = self.keep_free_percent;
        Err(refused(format!(
            "`{field}` is {size_bytes}; allowed: bytes that leave {percent} % of the disk free, which public keys may not \
             touch (limits.public_keep_free_percent)"
        )))
    }

    /// How much of the disk is left alone.
    pub(super) fn kept_bytes(&self, disk: &DiskState) -> u64 {
        percent_of(self.keep_free_percent, disk.size_bytes).max(disk.kept_bytes)
    }

    /// Whether the folders that `path` misses may be made with the key.
    pub(super) fn check_new_folders(
        &self,
        tx: &Tx<'_>,
        key: &ApiKey,
        path: &str,
    ) -> Result<Result<(), InvalidInput>, DbError> {
        if let Err(refused) = check_new_folders(tx, key.workspace_id, "folder", path, self.workspace_folders)? {
            // A stranger hears nothing of how many others have made.
            let told = "the workspace has no room left for new folders; its owner can make some, or raise its limit";
            return Ok(Err(if key.is_public() { self::refused(told.to_owned()) } else { refused }));
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
        let was = format!("{}, of which {missing} are not there", quote_for_message(path));
        let limit = self.key_folders;
        let allowed = format!(
            "folders that are there, and {left} new ones, what is left of the {limit} that uploads with a public key may make \
             (limits.public_key_folders)"
        );
        Ok(Err(InvalidInput::new(ErrorCode::StorageLimitExceeded, "folder", was, allowed)))
    }

    /// For how long the URLs of a session may be good that are asked for now.
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

/// A percentage of it, rounded down.
fn percent_of(percent: u64, bytes: u64) -> u64 {
    u64::try_from(u128::from(bytes) * u128::from(percent) / 100).unwrap_or(u64::MAX)
}

/// Whether the holder of the key may name who is told of an upload.
///
/// # Errors
/// FORBIDDEN when it may not.
pub fn check_webhook_url(identity: &Identity, url: Option<&WebhookUrl>) -> Result<(), InvalidInput> {
    match url {
        Some(_) if identity.is_public() && !identity.permissions.may_name_webhooks => {
            let allowed =
                "none with this public key, which may not name webhooks (`partway keys create --may-name-webhooks`)";
            Err(InvalidInput::new(ErrorCode::Forbidden, "webhook_url", "there", allowed))
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
        // Bytes that others are about to write are as good as taken.
        let busy = DiskState { promised_bytes: 10, ..disk };
        assert!(limits.check_disk("size", 40, &busy).is_ok() && limits.check_disk("size", 41, &busy).is_err());
        // Room that is kept free for all stays free, too.
        let kept = DiskState { kept_bytes: 120, ..disk };
        assert!(limits.check_disk("size", 30, &kept).is_ok() && limits.check_disk("size", 31, &kept).is_err());
    }

    #[test]
    fn bytes_that_have_come_do_not_count_twice() {
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
    fn no_session_outlives_its_age_however_often_it_is_signed_anew() {
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
