//! The order in which waiting scans run: round-robin by workspace.

use std::collections::{HashMap, VecDeque};

use uuid::Uuid;

use super::scan::Scan;
use crate::db::sql::DbError;

/// Most waiting scans of one workspace. A list takes milliseconds: more of them wait only if something is wrong, and a refusal at once is
/// better than an answer after minutes.
const MAX_WAITING_OF_ONE: usize = 64;
/// With this many waiting scans of all workspaces, each workspace may have one.
const MAX_WAITING: usize = 1024;

/// Waiting scans, and the numbers of running ones.
pub(crate) struct Turns<R> {
    /// Most running scans.
    readers: usize,
    /// Waiting scans of each workspace that has any, first in first out.
    waiting: HashMap<Uuid, VecDeque<Scan<R>>>,
    /// These workspaces; the first has the next turn.
    turns: VecDeque<Uuid>,
    /// Number of waiting scans of all workspaces.
    waiting_in_all: usize,
    /// Number of running scans of each workspace.
    running: HashMap<Uuid, usize>,
    running_in_all: usize,
}

impl<R> Turns<R> {
    /// An empty queue for this number of readers.
    pub(crate) fn new(readers: usize) -> Self {
        Self {
            readers,
            waiting: HashMap::new(),
            turns: VecDeque::new(),
            waiting_in_all: 0,
            running: HashMap::new(),
            running_in_all: 0,
        }
    }

    /// Changes the number of readers. Running scans in excess of it go on.
    pub(crate) fn set_readers(&mut self, readers: usize) {
        self.readers = readers;
    }

    /// Appends a scan to those of its workspace.
    ///
    /// # Errors
    /// [`DbError::Busy`] when the workspace has too many.
    pub(crate) fn push(&mut self, scan: Scan<R>) -> Result<(), DbError> {
        if self.is_full_for(scan.workspace_id) {
            self.drop_abandoned();
            if self.is_full_for(scan.workspace_id) {
                return Err(DbError::Busy);
            }
        }
        let workspace_id = scan.workspace_id;
        let of_workspace = self.waiting.entry(workspace_id).or_default();
        if of_workspace.is_empty() {
            self.turns.push_back(workspace_id);
        }
        of_workspace.push_back(scan);
        self.waiting_in_all += 1;
        Ok(())
    }

    fn is_full_for(&self, workspace_id: Uuid) -> bool {
        let most = if self.waiting_in_all < MAX_WAITING { MAX_WAITING_OF_ONE } else { 1 };
        self.waiting.get(&workspace_id).map_or(0, VecDeque::len) >= most
    }

    fn drop_abandoned(&mut self) {
        self.waiting.retain(|_, scans| {
            scans.retain(|scan| !scan.abandoned.is_set());
            !scans.is_empty()
        });
        let waiting = &self.waiting;
        self.turns.retain(|workspace_id| waiting.contains_key(workspace_id));
        self.waiting_in_all = waiting.values().map(VecDeque::len).sum();
    }

    /// Most running scans of one workspace: all readers but one, so that a scan of another workspace begins at once.
    fn max_running_of_one(&self) -> usize {
        self.readers.saturating_sub(1).max(1)
    }

    /// Number of further scans of a workspace that may begin.
    fn free_for(&self, workspace_id: &Uuid) -> usize {
        self.max_running_of_one().saturating_sub(self.running.get(workspace_id).copied().unwrap_or_default())
    }

    /// Number of waiting scans that could begin now.
    pub(crate) fn ready(&self) -> usize {
        let free = self.readers.saturating_sub(self.running_in_all);
        let mut ready = 0;
        for workspace_id in &self.turns {
            if ready >= free {
                return free;
            }
            ready += self.waiting.get(workspace_id).map_or(0, VecDeque::len).min(self.free_for(workspace_id));
        }
        ready.min(free)
    }

    /// Takes the next scan of a workspace that may have one more running. The caller reports its end with
    /// [`ended`](Self::ended).
    pub(crate) fn take(&mut self) -> Option<Scan<R>> {
        while self.running_in_all < self.readers {
            let turn = self.turns.iter().position(|workspace_id| self.free_for(workspace_id) > 0)?;
            let workspace_id = self.turns.remove(turn)?;
            let scan = self.pop(workspace_id)?;
            if !scan.abandoned.is_set() {
                *self.running.entry(workspace_id).or_default() += 1;
                self.running_in_all += 1;
                return Some(scan);
            }
        }
        None
    }

    /// Puts a scan that was taken, and could not begin, back in its place.
    pub(crate) fn put_back(&mut self, scan: Scan<R>) {
        let workspace_id = scan.workspace_id;
        self.ended(workspace_id);
        self.turns.retain(|turn| *turn != workspace_id);
        self.turns.push_front(workspace_id);
        self.waiting.entry(workspace_id).or_default().push_front(scan);
        self.waiting_in_all += 1;
    }

    /// Removes and returns all waiting scans.
    pub(crate) fn drain(&mut self) -> Vec<Scan<R>> {
        self.turns.clear();
        self.waiting_in_all = 0;
        self.waiting.drain().flat_map(|(_, scans)| scans).collect()
    }

    /// Takes the first scan of a workspace and moves the workspace to the end of the turns.
    fn pop(&mut self, workspace_id: Uuid) -> Option<Scan<R>> {
        let scans = self.waiting.get_mut(&workspace_id)?;
        let scan = scans.pop_front()?;
        self.waiting_in_all -= 1;
        if scans.is_empty() {
            self.waiting.remove(&workspace_id);
        } else {
            self.turns.push_back(workspace_id);
        }
        Some(scan)
    }

    /// Records the end of a scan that was taken.
    pub(crate) fn ended(&mut self, workspace_id: Uuid) {
        self.running_in_all = self.running_in_all.saturating_sub(1);
        if let Some(running) = self.running.get_mut(&workspace_id) {
            *running -= 1;
            if *running == 0 {
                self.running.remove(&workspace_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::db::engine::scan_queue::scan::RequestGuard;

    const READERS: usize = 3;

    fn scan(workspace: u128, guard: &RequestGuard) -> Scan<()> {
        let abandoned = Arc::clone(&guard.0);
        Scan { workspace_id: Uuid::from_u128(workspace), abandoned, run: () }
    }

    /// Takes what may run, and ends it at once, until nothing is left.
    fn order(state: &mut Turns<()>) -> Vec<u128> {
        let mut order = Vec::new();
        while let Some(scan) = state.take() {
            state.ended(scan.workspace_id);
            order.push(scan.workspace_id.as_u128());
        }
        order
    }

    #[test]
    fn workspaces_take_turns() {
        let (mut state, here) = (Turns::new(READERS), RequestGuard::default());
        for workspace in [1, 1, 1, 1, 2, 3, 2] {
            state.push(scan(workspace, &here)).unwrap();
        }
        assert_eq!(order(&mut state), [1, 2, 3, 1, 2, 1, 1]);
    }

    #[test]
    fn no_workspace_has_all_readers() {
        let (mut state, here) = (Turns::new(READERS), RequestGuard::default());
        for _ in 0..10 {
            state.push(scan(1, &here)).unwrap();
        }
        let taken = std::iter::from_fn(|| state.take()).count();
        assert_eq!(taken, READERS - 1);
        state.push(scan(2, &here)).unwrap();
        assert_eq!(state.take().unwrap().workspace_id.as_u128(), 2);
        state.ended(Uuid::from_u128(1));
        assert_eq!(state.take().unwrap().workspace_id.as_u128(), 1);
        assert!(state.take().is_none());
    }

    #[test]
    fn what_is_ready_can_be_taken_and_goes_back_to_its_place() {
        let (mut state, here) = (Turns::new(READERS), RequestGuard::default());
        for workspace in [1, 1, 1, 2, 2] {
            state.push(scan(workspace, &here)).unwrap();
        }
        assert_eq!(state.ready(), READERS);
        let first = state.take().unwrap();
        assert_eq!((first.workspace_id.as_u128(), state.ready()), (1, READERS - 1));
        state.put_back(first);
        assert_eq!((state.ready(), state.waiting_in_all, state.running_in_all), (READERS, 5, 0));
        let taken: Vec<_> = std::iter::from_fn(|| state.take()).map(|scan| scan.workspace_id.as_u128()).collect();
        assert_eq!((taken, state.ready()), (vec![1, 2, 1], 0));
        state.ended(Uuid::from_u128(2));
        assert_eq!(state.ready(), 1, "the first has as many as it may");
        assert_eq!((state.drain().len(), state.ready(), state.waiting_in_all), (2, 0, 0));
    }

    #[test]
    fn one_reader_serves_everybody() {
        let (mut state, here) = (Turns::new(1), RequestGuard::default());
        for workspace in [1, 1, 2] {
            state.push(scan(workspace, &here)).unwrap();
        }
        assert_eq!(order(&mut state), [1, 2, 1]);
    }

    #[test]
    fn scans_whose_requests_have_gone_are_dropped_and_take_no_place() {
        let (mut state, here, gone) = (Turns::new(READERS), RequestGuard::default(), RequestGuard::default());
        let abandoned = Arc::clone(&gone.0);
        for _ in 0..MAX_WAITING_OF_ONE {
            state.push(scan(1, &gone)).unwrap();
        }
        assert!(matches!(state.push(scan(1, &here)), Err(DbError::Busy)));
        state.push(scan(2, &here)).unwrap();
        drop(gone);
        assert!(abandoned.is_set());
        state.push(scan(1, &here)).unwrap();
        assert_eq!((state.waiting_in_all, order(&mut state)), (2, vec![2, 1]));
        assert_eq!((state.waiting_in_all, state.turns.len(), state.running.len()), (0, 0, 0));
    }

    #[test]
    fn a_full_queue_takes_one_of_each_workspace_more() {
        let (mut state, here) = (Turns::new(READERS), RequestGuard::default());
        for number in 0..MAX_WAITING {
            state.push(scan((number / MAX_WAITING_OF_ONE) as u128, &here)).unwrap();
        }
        state.push(scan(1000, &here)).unwrap();
        assert!(matches!(state.push(scan(1000, &here)), Err(DbError::Busy)));
    }
}
