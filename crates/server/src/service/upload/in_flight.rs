//! Direct uploads in flight: how many pass this process at once, and how many bytes of them each workspace has.
//!
//! Invariant: an upload with a public key takes neither a permit nor quota from a private key of its workspace, and public keys together
//! have at most half of all permits.
//!
//! Each node counts its own. Bytes in flight count against a workspace's quota; once the file is published, the database counts them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use super::UploadError;
use super::keyed_locks::{KeyedLock, KeyedLocks};
use crate::db::api_keys::KeyKind;

/// How long a request waits for a permit.
const WAIT_FOR_PERMIT: Duration = Duration::from_secs(10);
/// The private keys of one workspace get at most one permit in this many, so that its slow clients do not keep others waiting.
const WORKSPACE_SHARE: usize = 4;
/// Public keys get one permit for this many of private keys, in a workspace and in all: their holders may be arbitrarily slow.
const PUBLIC_SHARE: usize = 2;

/// Keys whose permits are counted together: all of one kind in one workspace.
type Group = (Uuid, KeyKind);

/// A limited number of permits, shared fairly. Clones share them.
#[derive(Clone)]
pub(super) struct InFlightLimit {
    max_permits: usize,
    all: Arc<Semaphore>,
    /// The permits of `all` that public keys may have.
    public: Arc<Semaphore>,
    max_wait: Duration,
    groups: KeyedLocks<Group, Semaphore>,
}

/// Permission for one upload to pass, until it is dropped.
pub struct InFlightPermit {
    // Declared first, so released first.
    _permits: Vec<OwnedSemaphorePermit>,
    _group: KeyedLock<Group, Semaphore>,
}

impl InFlightLimit {
    pub(super) fn new(max_permits: usize) -> Self {
        let all = Arc::new(Semaphore::new(max_permits));
        // At least one permit is left for private keys, unless there is only one.
        let public = Arc::new(Semaphore::new((max_permits / PUBLIC_SHARE).max(1)));
        Self { max_permits, all, public, max_wait: WAIT_FOR_PERMIT, groups: KeyedLocks::default() }
    }

    /// Permits of a group.
    fn of_group(&self, kind: KeyKind) -> usize {
        match kind {
            KeyKind::Private => self.max_permits.div_ceil(WORKSPACE_SHARE),
            KeyKind::Public => self.max_permits.div_ceil(WORKSPACE_SHARE * PUBLIC_SHARE),
        }
    }

    /// Waits for a permit, at most [`WAIT_FOR_PERMIT`]. Cancel safe.
    ///
    /// # Errors
    /// [`UploadError::Busy`] when none became free.
    pub(super) async fn enter(&self, workspace_id: Uuid, kind: KeyKind) -> Result<InFlightPermit, UploadError> {
        let group = self.groups.get_or_insert_with((workspace_id, kind), || Semaphore::new(self.of_group(kind)));
        let public = (kind == KeyKind::Public).then(|| Arc::clone(&self.public));
        let needed = [Some(Arc::clone(group.lock())), public, Some(Arc::clone(&self.all))];
        let permits = async {
            let mut permits = Vec::new();
            for semaphore in needed.into_iter().flatten() {
                permits.push(semaphore.acquire_owned().await?);
            }
            Ok::<_, tokio::sync::AcquireError>(permits)
        };
        match tokio::time::timeout(self.max_wait, permits).await {
            Ok(Ok(permits)) => Ok(InFlightPermit { _permits: permits, _group: group }),
            _ => Err(UploadError::Busy),
        }
    }
}

/// Bytes in flight of one workspace.
#[derive(Debug, Clone, Copy, Default)]
struct BytesByKind {
    private: u64,
    public: u64,
}

impl BytesByKind {
    fn of(&mut self, kind: KeyKind) -> &mut u64 {
        match kind {
            KeyKind::Private => &mut self.private,
            KeyKind::Public => &mut self.public,
        }
    }

    /// Bytes in flight that count against a file of this kind of key. Files of public keys never count against a private key.
    fn counted(self, kind: KeyKind) -> u64 {
        match kind {
            KeyKind::Private => self.private,
            KeyKind::Public => self.private + self.public,
        }
    }
}

/// Bytes in flight, by workspace. Clones share them.
#[derive(Clone, Default)]
pub(super) struct InFlightBytes(Arc<Mutex<HashMap<Uuid, BytesByKind>>>);

/// The bytes in flight of one file, counted until it is dropped.
pub struct InFlightFile {
    all: InFlightBytes,
    workspace_id: Uuid,
    kind: KeyKind,
    bytes: u64,
}

impl InFlightBytes {
    /// A file of which no byte has arrived yet, sent with a key of this kind.
    pub(super) fn enter(&self, workspace_id: Uuid, kind: KeyKind) -> InFlightFile {
        InFlightFile { all: self.clone(), workspace_id, kind, bytes: 0 }
    }
}

impl InFlightFile {
    /// Bytes in flight of other files that take quota from this one.
    pub(super) fn others_bytes(&self) -> u64 {
        let all = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_all = all.get(&self.workspace_id).copied().unwrap_or_default();
        of_all.counted(self.kind).saturating_sub(self.bytes)
    }

    /// Adds bytes that arrived. Returns those of the others, as [`Self::others_bytes`] counts them.
    pub(super) fn add(&mut self, bytes: u64) -> u64 {
        self.bytes += bytes;
        let mut all = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_all = all.entry(self.workspace_id).or_default();
        *of_all.of(self.kind) += bytes;
        of_all.counted(self.kind).saturating_sub(self.bytes)
    }
}

impl Drop for InFlightFile {
    fn drop(&mut self) {
        let mut all = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_all) = all.get_mut(&self.workspace_id) {
            let own = of_all.of(self.kind);
            *own = own.saturating_sub(self.bytes);
            if of_all.counted(KeyKind::Public) == 0 {
                all.remove(&self.workspace_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Uuid = Uuid::from_u128(1);
    const OTHER: Uuid = Uuid::from_u128(2);

    fn impatient(max_permits: usize) -> InFlightLimit {
        InFlightLimit { max_wait: Duration::from_millis(20), ..InFlightLimit::new(max_permits) }
    }

    async fn is_busy(limit: &InFlightLimit, workspace_id: Uuid, kind: KeyKind) -> bool {
        matches!(limit.enter(workspace_id, kind).await, Err(UploadError::Busy))
    }

    #[tokio::test]
    async fn a_workspace_gets_its_share_and_no_more() {
        let limit = impatient(8);
        let first = limit.enter(ONE, KeyKind::Private).await.unwrap();
        let _second = limit.enter(ONE, KeyKind::Private).await.unwrap();
        assert!(is_busy(&limit, ONE, KeyKind::Private).await);
        let _third = limit.enter(OTHER, KeyKind::Private).await.unwrap();
        drop(first);
        assert!(!is_busy(&limit, ONE, KeyKind::Private).await);
        drop((_second, _third));
        assert_eq!(limit.groups.len(), 0, "a workspace without permits is remembered");
    }

    #[tokio::test]
    async fn public_keys_take_no_permit_from_private_ones() {
        for max_permits in [2, 3, 4, 8, 64, 256] {
            let limit = impatient(max_permits);
            let (mut permits, mut of_one) = (Vec::new(), 0);
            while let Ok(permit) = limit.enter(ONE, KeyKind::Public).await {
                permits.push(permit);
                of_one += 1;
            }
            assert_eq!(of_one, max_permits.div_ceil(8), "of {max_permits}");
            // Strangers of all workspaces together take half of all permits.
            for workspace in 0..max_permits as u128 {
                permits.extend(limit.enter(Uuid::from_u128(100 + workspace), KeyKind::Public).await);
                if permits.len() == max_permits / 2 {
                    break;
                }
            }
            assert!(is_busy(&limit, OTHER, KeyKind::Public).await);
            assert_eq!(permits.len(), max_permits / 2, "of {max_permits}");
            for _ in 0..max_permits.div_ceil(4) {
                permits.push(limit.enter(ONE, KeyKind::Private).await.unwrap());
            }
            drop(permits);
            assert_eq!(limit.groups.len(), 0);
        }
    }

    #[test]
    fn bytes_in_flight_are_counted_until_their_file_is_dropped() {
        let in_flight = InFlightBytes::default();
        let enter = || in_flight.enter(ONE, KeyKind::Private);
        let (mut one, mut other) = (enter(), enter());
        assert_eq!((one.add(10), other.add(5), one.add(1)), (0, 10, 5));
        drop(one);
        assert_eq!((enter().others_bytes(), other.others_bytes(), other.add(1)), (5, 0, 0));
        drop(other);
        assert!(in_flight.0.lock().unwrap().is_empty());
    }

    #[test]
    fn bytes_of_strangers_take_no_quota_from_private_keys() {
        let in_flight = InFlightBytes::default();
        let (mut own, mut theirs) = (in_flight.enter(ONE, KeyKind::Private), in_flight.enter(ONE, KeyKind::Public));
        assert_eq!((theirs.add(100), own.add(10), theirs.add(1), own.others_bytes()), (0, 0, 10, 0));
        let mut second = in_flight.enter(ONE, KeyKind::Public);
        assert_eq!(second.add(2), 111);
        drop(own);
        assert_eq!(second.others_bytes(), 101);
        drop((theirs, second));
        assert!(in_flight.0.lock().unwrap().is_empty());
    }
}
