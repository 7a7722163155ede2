//! Files that pass this process: how many at once, and how many bytes of them each workspace has under way.
//!
//! Invariant: nothing that comes with a public key takes a turn or room from a private key of its workspace, and together public
//! keys have at most half of all turns.
//!
//! Each node counts its own. What is under way counts towards a workspace's limit while it comes; once the file is there,
//! the database counts it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use super::UploadError;
use crate::db::api_keys::KeyKind;

/// How long a request waits for its turn.
const WAIT_FOR_PERMIT: Duration = Duration::from_secs(10);
/// The private keys of one workspace get at most this part of the turns, so that its slow clients do not keep the others waiting.
const WORKSPACE_SHARE: usize = 4;
/// Public keys get this part of what private keys get, of a workspace and in all: strangers may be as slow as they like.
const PUBLIC_SHARE: usize = 2;

/// Whose turns are counted together. Those of public keys are not taken from the private keys of their workspace.
type Group = (Uuid, KeyKind);
type Groups = Arc<Mutex<HashMap<Group, Arc<Semaphore>>>>;

/// Turns of which there are so many. Clones share them.
#[derive(Clone)]
pub(super) struct InFlightLimit {
    at_once: usize,
    all: Arc<Semaphore>,
    /// Those of `all` that public keys may have.
    public: Arc<Semaphore>,
    patience: Duration,
    groups: Groups,
}

/// A turn, until it is dropped.
pub struct InFlightPermit {
    group: Group,
    groups: Groups,
    /// Given back before it is seen whether anybody of the group is left.
    permits: Vec<OwnedSemaphorePermit>,
}

impl InFlightLimit {
    pub(super) fn new(at_once: usize) -> Self {
        let all = Arc::new(Semaphore::new(at_once));
        // One of them is left for private keys, unless there is but one.
        let public = Arc::new(Semaphore::new((at_once / PUBLIC_SHARE).max(1)));
        Self { at_once, all, public, patience: WAIT_FOR_PERMIT, groups: Arc::default() }
    }

    /// How many turns the keys of one kind and workspace have.
    fn of_group(&self, kind: KeyKind) -> usize {
        match kind {
            KeyKind::Private => self.at_once.div_ceil(WORKSPACE_SHARE),
            KeyKind::Public => self.at_once.div_ceil(WORKSPACE_SHARE * PUBLIC_SHARE),
        }
    }

    /// Waits for a turn, for a while.
    ///
    /// # Errors
    /// [`UploadError::Busy`] when there is none.
    pub(super) async fn enter(&self, workspace_id: Uuid, kind: KeyKind) -> Result<InFlightPermit, UploadError> {
        let group = (workspace_id, kind);
        let own = {
            let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(groups.entry(group).or_insert_with(|| Arc::new(Semaphore::new(self.of_group(kind)))))
        };
        let mut turn = InFlightPermit { group, groups: Arc::clone(&self.groups), permits: Vec::new() };
        let public = (kind == KeyKind::Public).then(|| Arc::clone(&self.public));
        let needed = [Some(own), public, Some(Arc::clone(&self.all))];
        let permits = async {
            let mut permits = Vec::new();
            for turns in needed.into_iter().flatten() {
                permits.push(turns.acquire_owned().await?);
            }
            Ok::<_, tokio::sync::AcquireError>(permits)
        };
        match tokio::time::timeout(self.patience, permits).await {
            Ok(Ok(permits)) => {
                turn.permits = permits;
                Ok(turn)
            }
            _ => Err(UploadError::Busy),
        }
    }
}

impl Drop for InFlightPermit {
    fn drop(&mut self) {
        self.permits.clear();
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever waits or has a turn holds it, too.
        if groups.get(&self.group).is_some_and(|own| Arc::strong_count(own) == 1) {
            groups.remove(&self.group);
        }
    }
}

/// Bytes of the files of one workspace that are under way.
#[derive(Debug, Clone, Copy, Default)]
struct Coming {
    private: u64,
    public: u64,
}

impl Coming {
    fn of(&mut self, kind: KeyKind) -> &mut u64 {
        match kind {
            KeyKind::Private => &mut self.private,
            KeyKind::Public => &mut self.public,
        }
    }

    /// Those that take room from a file of this kind of key: strangers' bytes take none from a private key's.
    fn counted(self, kind: KeyKind) -> u64 {
        match kind {
            KeyKind::Private => self.private,
            KeyKind::Public => self.private + self.public,
        }
    }
}

/// Bytes of files that are under way, by workspace. Clones share them.
#[derive(Clone, Default)]
pub(super) struct InFlightBytes(Arc<Mutex<HashMap<Uuid, Coming>>>);

/// The bytes of one file, until it is dropped.
pub struct InFlightFile {
    under_way: InFlightBytes,
    workspace_id: Uuid,
    kind: KeyKind,
    bytes: u64,
}

impl InFlightBytes {
    /// A file of which nothing has come, sent with a key of this kind.
    pub(super) fn enter(&self, workspace_id: Uuid, kind: KeyKind) -> InFlightFile {
        InFlightFile { under_way: self.clone(), workspace_id, kind, bytes: 0 }
    }
}

impl InFlightFile {
    /// Bytes of other files of the workspace that take room from this one.
    pub(super) fn of_others(&self) -> u64 {
        let all = self.under_way.0.lock().unwrap_or_else(PoisonError::into_inner);
        let coming = all.get(&self.workspace_id).copied().unwrap_or_default();
        coming.counted(self.kind).saturating_sub(self.bytes)
    }

    /// Adds bytes that came. Those of the others, as [`Self::of_others`] counts them.
    pub(super) fn add(&mut self, bytes: u64) -> u64 {
        self.bytes += bytes;
        let mut all = self.under_way.0.lock().unwrap_or_else(PoisonError::into_inner);
        let coming = all.entry(self.workspace_id).or_default();
        *coming.of(self.kind) += bytes;
        coming.counted(self.kind).saturating_sub(self.bytes)
    }
}

impl Drop for InFlightFile {
    fn drop(&mut self) {
        let mut all = self.under_way.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(coming) = all.get_mut(&self.workspace_id) {
            let own = coming.of(self.kind);
            *own = own.saturating_sub(self.bytes);
            if coming.counted(KeyKind::Public) == 0 {
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

    fn impatient(at_once: usize) -> InFlightLimit {
        InFlightLimit { patience: Duration::from_millis(20), ..InFlightLimit::new(at_once) }
    }

    async fn is_busy(passing: &InFlightLimit, workspace_id: Uuid, kind: KeyKind) -> bool {
        matches!(passing.enter(workspace_id, kind).await, Err(UploadError::Busy))
    }

    #[tokio::test]
    async fn a_workspace_gets_its_share_and_no_more() {
        let passing = impatient(8);
        let first = passing.enter(ONE, KeyKind::Private).await.unwrap();
        let _second = passing.enter(ONE, KeyKind::Private).await.unwrap();
        assert!(is_busy(&passing, ONE, KeyKind::Private).await);
        let _third = passing.enter(OTHER, KeyKind::Private).await.unwrap();
        drop(first);
        assert!(!is_busy(&passing, ONE, KeyKind::Private).await);
        drop((_second, _third));
        assert!(passing.groups.lock().unwrap().is_empty(), "a workspace without turns is remembered");
    }

    #[tokio::test]
    async fn public_keys_take_no_turn_from_private_ones() {
        for at_once in [2, 3, 4, 8, 64, 256] {
            let passing = impatient(at_once);
            let (mut turns, mut of_one) = (Vec::new(), 0);
            while let Ok(turn) = passing.enter(ONE, KeyKind::Public).await {
                turns.push(turn);
                of_one += 1;
            }
            assert_eq!(of_one, at_once.div_ceil(8), "of {at_once}");
            // Strangers of all workspaces together take half of all turns.
            for workspace in 0..at_once as u128 {
                turns.extend(passing.enter(Uuid::from_u128(100 + workspace), KeyKind::Public).await);
                if turns.len() == at_once / 2 {
                    break;
                }
            }
            assert!(is_busy(&passing, OTHER, KeyKind::Public).await);
            assert_eq!(turns.len(), at_once / 2, "of {at_once}");
            for _ in 0..at_once.div_ceil(4) {
                turns.push(passing.enter(ONE, KeyKind::Private).await.unwrap());
            }
            drop(turns);
            assert!(passing.groups.lock().unwrap().is_empty());
        }
    }

    #[test]
    fn bytes_under_way_are_counted_until_their_file_is_dropped() {
        let under_way = InFlightBytes::default();
        let enter = || under_way.enter(ONE, KeyKind::Private);
        let (mut one, mut other) = (enter(), enter());
        assert_eq!((one.add(10), other.add(5), one.add(1)), (0, 10, 5));
        drop(one);
        assert_eq!((enter().of_others(), other.of_others(), other.add(1)), (5, 0, 0));
        drop(other);
        assert!(under_way.0.lock().unwrap().is_empty());
    }

    #[test]
    fn bytes_of_strangers_take_no_room_from_private_keys() {
        let under_way = InFlightBytes::default();
        let (mut own, mut theirs) = (under_way.enter(ONE, KeyKind::Private), under_way.enter(ONE, KeyKind::Public));
        assert_eq!((theirs.add(100), own.add(10), theirs.add(1), own.of_others()), (0, 0, 10, 0));
        let mut second = under_way.enter(ONE, KeyKind::Public);
        assert_eq!(second.add(2), 111);
        drop(own);
        assert_eq!(second.of_others(), 101);
        drop((theirs, second));
        assert!(under_way.0.lock().unwrap().is_empty());
    }
}
