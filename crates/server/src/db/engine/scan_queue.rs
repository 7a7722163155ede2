//! Scans of SQLite (lists and searches) that wait for a reader, in turns by workspace.
//!
//! Invariants: workspaces take turns, however many scans each of them has, and none has all readers. No workspace has
//! more than [`MAX_WAITING_OF_ONE`] scans that wait. A scan whose request has gone is never begun.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use uuid::Uuid;

use super::super::DbError;

/// Readers that scan. One workspace has at most all but one of them at a time, so that another's scan begins at once
/// whatever the first is asking.
pub const SCAN_READERS: usize = 3;
const MAX_RUNNING_OF_ONE: usize = SCAN_READERS - 1;
/// A list takes milliseconds: more than these wait only where something is wrong, and are better told to come later than
/// kept for minutes.
const MAX_WAITING_OF_ONE: usize = 64;
/// With so many in all, each workspace may have one that waits.
const MAX_WAITING: usize = 1024;

/// A scan, and who it is for.
pub struct Scan {
    pub workspace_id: Uuid,
    pub abandoned: Arc<Abandoned>,
    pub run: Box<dyn FnOnce(&Connection) + Send>,
}

/// Whether the request that a scan is for has gone.
#[derive(Default)]
pub struct Abandoned(AtomicBool);

impl Abandoned {
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Held by the request: its scan is abandoned when this is dropped.
#[derive(Default)]
pub struct RequestGuard(pub Arc<Abandoned>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// Scans that wait for the readers.
#[derive(Default)]
pub struct ScanQueue {
    state: Mutex<State>,
    asked: Condvar,
}

#[derive(Default)]
struct State {
    /// Those of each workspace that has any, in the order in which they came.
    waiting: HashMap<Uuid, VecDeque<Scan>>,
    /// These workspaces, the one whose turn it is first.
    turns: VecDeque<Uuid>,
    /// Scans that wait, in all.
    waiting_in_all: usize,
    /// How many scans of a workspace are being run.
    running: HashMap<Uuid, usize>,
    closed: bool,
}

impl ScanQueue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a scan behind the others of its workspace.
    ///
    /// # Errors
    /// [`DbError::Busy`] when the workspace has too many.
    pub fn push(&self, scan: Scan) -> Result<(), DbError> {
        self.lock().push(scan)?;
        self.asked.notify_one();
        Ok(())
    }

    /// Runs scans one after the other until there will be no more. `run` must not panic.
    pub fn serve(&self, mut run: impl FnMut(Scan)) {
        while let Some(scan) = self.next() {
            let workspace_id = scan.workspace_id;
            run(scan);
            self.lock().ended(workspace_id);
        }
    }

    fn next(&self) -> Option<Scan> {
        let mut state = self.lock();
        while !state.closed {
            if let Some(scan) = state.take() {
                return Some(scan);
            }
            state = self.asked.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    /// Ends the readers.
    pub fn close(&self) {
        self.lock().closed = true;
        self.asked.notify_all();
    }
}

impl State {
    fn push(&mut self, scan: Scan) -> Result<(), DbError> {
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

    /// The scan whose turn it is, of the workspaces that may have one more running.
    fn take(&mut self) -> Option<Scan> {
        loop {
            let may_run = |id: &Uuid| self.running.get(id).is_none_or(|running| *running < MAX_RUNNING_OF_ONE);
            let turn = self.turns.iter().position(may_run)?;
            let workspace_id = self.turns.remove(turn)?;
            let scan = self.pop(workspace_id)?;
            if !scan.abandoned.is_set() {
                *self.running.entry(workspace_id).or_default() += 1;
                return Some(scan);
            }
        }
    }

    /// The first scan of a workspace, whose next turn is behind the others'.
    fn pop(&mut self, workspace_id: Uuid) -> Option<Scan> {
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

    fn ended(&mut self, workspace_id: Uuid) {
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
    use super::*;

    fn scan(workspace: u128, guard: &RequestGuard) -> Scan {
        let abandoned = Arc::clone(&guard.0);
        Scan { workspace_id: Uuid::from_u128(workspace), abandoned, run: Box::new(|_| {}) }
    }

    /// Takes what may run, and ends it at once, until nothing is left.
    fn order(state: &mut State) -> Vec<u128> {
        let mut order = Vec::new();
        while let Some(scan) = state.take() {
            state.ended(scan.workspace_id);
            order.push(scan.workspace_id.as_u128());
        }
        order
    }

    #[test]
    fn workspaces_take_turns() {
        let (mut state, here) = (State::default(), RequestGuard::default());
        for workspace in [1, 1, 1, 1, 2, 3, 2] {
            state.push(scan(workspace, &here)).unwrap();
        }
        assert_eq!(order(&mut state), [1, 2, 3, 1, 2, 1, 1]);
    }

    #[test]
    fn no_workspace_has_all_readers() {
        let (mut state, here) = (State::default(), RequestGuard::default());
        for _ in 0..10 {
            state.push(scan(1, &here)).unwrap();
        }
        let taken = std::iter::from_fn(|| state.take()).count();
        assert_eq!(taken, SCAN_READERS - 1);
        state.push(scan(2, &here)).unwrap();
        assert_eq!(state.take().unwrap().workspace_id.as_u128(), 2);
        state.ended(Uuid::from_u128(1));
        assert_eq!(state.take().unwrap().workspace_id.as_u128(), 1);
        assert!(state.take().is_none());
    }

    #[test]
    fn scans_whose_requests_have_gone_are_dropped_and_take_no_place() {
        let (mut state, here, gone) = (State::default(), RequestGuard::default(), RequestGuard::default());
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
        let (mut state, here) = (State::default(), RequestGuard::default());
        for number in 0..MAX_WAITING {
            state.push(scan((number / MAX_WAITING_OF_ONE) as u128, &here)).unwrap();
        }
        state.push(scan(1000, &here)).unwrap();
        assert!(matches!(state.push(scan(1000, &here)), Err(DbError::Busy)));
    }
}
