//! Files that pass this process: how many at once, and how many bytes of them each workspace has under way.
//!
//! Each node counts its own. What is under way counts towards a workspace's limit while it comes; once the file is there,
//! the database counts it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use super::UploadError;

/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);
/// One workspace gets at most this part of the turns, so that its slow clients do not keep the others waiting.
const SHARE: usize = 4;

/// Turns of which there are so many. Clones share them.
#[derive(Clone)]
pub(super) struct Passing {
    all: Arc<Semaphore>,
    of_workspace: usize,
    patience: Duration,
    workspaces: Arc<Mutex<HashMap<Uuid, Arc<Semaphore>>>>,
}

/// A turn, until it is dropped.
pub struct Turn {
    workspace_id: Uuid,
    workspaces: Arc<Mutex<HashMap<Uuid, Arc<Semaphore>>>>,
    /// Both are given back before it is seen whether anybody of the workspace is left.
    permits: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
}

impl Passing {
    pub(super) fn new(at_once: usize) -> Self {
        let of_workspace = at_once.div_ceil(SHARE);
        let all = Arc::new(Semaphore::new(at_once));
        Self { all, of_workspace, patience: PATIENCE, workspaces: Arc::default() }
    }

    /// Waits for a turn, for a while.
    ///
    /// # Errors
    /// [`UploadError::Busy`] when there is none.
    pub(super) async fn enter(&self, workspace_id: Uuid) -> Result<Turn, UploadError> {
        let own = {
            let mut workspaces = self.workspaces.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(workspaces.entry(workspace_id).or_insert_with(|| Arc::new(Semaphore::new(self.of_workspace))))
        };
        let mut turn = Turn { workspace_id, workspaces: Arc::clone(&self.workspaces), permits: None };
        let all = Arc::clone(&self.all);
        let both =
            async { Ok::<_, tokio::sync::AcquireError>((own.acquire_owned().await?, all.acquire_owned().await?)) };
        match tokio::time::timeout(self.patience, both).await {
            Ok(Ok(permits)) => {
                turn.permits = Some(permits);
                Ok(turn)
            }
            _ => Err(UploadError::Busy),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.permits = None;
        let mut workspaces = self.workspaces.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever waits or has a turn holds it, too.
        if workspaces.get(&self.workspace_id).is_some_and(|own| Arc::strong_count(own) == 1) {
            workspaces.remove(&self.workspace_id);
        }
    }
}

/// Bytes of files that are under way, by workspace. Clones share them.
#[derive(Clone, Default)]
pub(super) struct UnderWay(Arc<Mutex<HashMap<Uuid, u64>>>);

/// The bytes of one file, until it is dropped.
pub struct Entry {
    under_way: UnderWay,
    workspace_id: Uuid,
    bytes: u64,
}

impl UnderWay {
    /// A file of which nothing has come.
    pub(super) fn enter(&self, workspace_id: Uuid) -> Entry {
        Entry { under_way: self.clone(), workspace_id, bytes: 0 }
    }
}

impl Entry {
    /// Bytes of all files of the workspace.
    pub(super) fn of_workspace(&self) -> u64 {
        self.under_way
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&self.workspace_id)
            .copied()
            .unwrap_or_default()
    }

    /// Adds bytes that came. Those of the others.
    pub(super) fn add(&mut self, bytes: u64) -> u64 {
        self.bytes += bytes;
        let mut all = self.under_way.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_workspace = all.entry(self.workspace_id).or_default();
        *of_workspace += bytes;
        of_workspace.saturating_sub(self.bytes)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut all = self.under_way.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_workspace) = all.get_mut(&self.workspace_id) {
            *of_workspace = of_workspace.saturating_sub(self.bytes);
            if *of_workspace == 0 {
                all.remove(&self.workspace_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_workspace_gets_its_share_and_no_more() {
        let passing = Passing { patience: Duration::from_millis(20), ..Passing::new(8) };
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let first = passing.enter(one).await.unwrap();
        let _second = passing.enter(one).await.unwrap();
        assert!(matches!(passing.enter(one).await, Err(UploadError::Busy)));
        let _third = passing.enter(other).await.unwrap();
        drop(first);
        assert!(passing.enter(one).await.is_ok());
        drop((_second, _third));
        assert!(passing.workspaces.lock().unwrap().is_empty(), "a workspace without turns is remembered");
    }

    #[test]
    fn bytes_under_way_are_counted_until_their_file_is_dropped() {
        let under_way = UnderWay::default();
        let id = Uuid::from_u128(1);
        let (mut one, mut other) = (under_way.enter(id), under_way.enter(id));
        assert_eq!((one.add(10), other.add(5), one.add(1)), (0, 10, 5));
        drop(one);
        assert_eq!((other.of_workspace(), other.add(1)), (5, 0));
        drop(other);
        assert!(under_way.0.lock().unwrap().is_empty());
    }
}
