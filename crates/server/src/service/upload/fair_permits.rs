//! Permits for transfers that pass this process, shared fairly: direct uploads, fetches of remote files, and streams of files in a bucket.
//!
//! Invariant: a transfer with a public key takes no permit from a private key of its workspace, and public keys together have at most half of all
//! permits. Each node has its own permits.

use std::sync::Arc;
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
pub(super) struct FairPermits {
    max_permits: usize,
    all: Arc<Semaphore>,
    /// The permits of `all` that public keys may have.
    public: Arc<Semaphore>,
    max_wait: Duration,
    groups: KeyedLocks<Group, Semaphore>,
}

/// Permission for one upload to pass, until it is dropped.
pub(super) struct FairPermit {
    // Declared first, so released first.
    _permits: Vec<OwnedSemaphorePermit>,
    _group: KeyedLock<Group, Semaphore>,
}

impl FairPermits {
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
    pub(super) async fn enter(&self, workspace_id: Uuid, kind: KeyKind) -> Result<FairPermit, UploadError> {
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
            Ok(Ok(permits)) => Ok(FairPermit { _permits: permits, _group: group }),
            _ => Err(UploadError::Busy),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Uuid = Uuid::from_u128(1);
    const OTHER: Uuid = Uuid::from_u128(2);

    fn impatient(max_permits: usize) -> FairPermits {
        FairPermits { max_wait: Duration::from_millis(20), ..FairPermits::new(max_permits) }
    }

    async fn is_busy(limit: &FairPermits, workspace_id: Uuid, kind: KeyKind) -> bool {
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
}
