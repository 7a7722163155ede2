//! Scans (lists and searches) that wait for a reader, in turns by workspace, for both engines.
//!
//! Invariants: workspaces take turns, however many scans each of them has, and none has all readers where there are several.
//! No workspace has more than [`MAX_WAITING_OF_ONE`] scans that wait. A scan whose request has gone is never begun.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use crate::db::sql::DbError;

/// Longest scan. One through a million names takes about a second; who waits longer has mostly gone, and others wait too.
pub const SCAN_LIMIT: Duration = Duration::from_secs(10);
/// A list takes milliseconds: more than these wait only where something is wrong, and are better told to come later than
/// kept for minutes.
const MAX_WAITING_OF_ONE: usize = 64;
/// With so many in all, each workspace may have one that waits.
const MAX_WAITING: usize = 1024;

/// A scan, and who it is for. `R` is how the engine runs it.
pub struct Scan<R> {
    pub workspace_id: Uuid,
    pub abandoned: Arc<Abandoned>,
    pub run: R,
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

/// Scans that wait for readers that do nothing else.
pub struct ScanQueue<R> {
    state: Mutex<State<R>>,
    asked: Condvar,
}

struct State<R> {
    turns: Turns<R>,
    closed: bool,
}

impl<R> ScanQueue<R> {
    /// For so many readers.
    pub fn new(readers: usize) -> Self {
        Self { state: Mutex::new(State { turns: Turns::new(readers), closed: false }), asked: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a scan behind the others of its workspace.
    ///
    /// # Errors
    /// [`DbError::Busy`] when the workspace has too many.
    pub fn push(&self, scan: Scan<R>) -> Result<(), DbError> {
        self.lock().turns.push(scan)?;
        self.asked.notify_one();
        Ok(())
    }

    /// Runs scans one after the other until there will be no more. `run` must not panic.
    pub fn serve(&self, mut run: impl FnMut(Scan<R>)) {
        while let Some(scan) = self.next() {
            let workspace_id = scan.workspace_id;
            run(scan);
            self.lock().turns.ended(workspace_id);
        }
    }

    fn next(&self) -> Option<Scan<R>> {
        let mut state = self.lock();
        while !state.closed {
            if let Some(scan) = state.turns.take() {
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

/// Scans that wait, and how many are being run.
pub struct Turns<R> {
    /// How many may be run at a time.
    readers: usize,
    /// Those of each workspace that has any, in the order in which they came.
    waiting: HashMap<Uuid, VecDeque<Scan<R>>>,
    /// These workspaces, the one whose turn it is first.
    turns: VecDeque<Uuid>,
    /// Scans that wait, in all.
    waiting_in_all: usize,
    /// How many scans of a workspace are being run.
    running: HashMap<Uuid, usize>,
    running_in_all: usize,
}

impl<R> Turns<R> {
    /// For so many readers.
    pub fn new(readers: usize) -> Self {
        Self {
            readers,
            waiting: HashMap::new(),
            turns: VecDeque::new(),
            waiting_in_all: 0,
            running: HashMap::new(),
            running_in_all: 0,
        }
    }

    /// Changes how many may be run at a time. Those that are more are not ended.
    pub fn set_readers(&mut self, readers: usize) {
        self.readers = readers;
    }

    /// Puts a scan behind the others of its workspace.
    ///
    /// # Errors
    /// [`DbError::Busy`] when the workspace has too many.
    pub fn push(&mut self, scan: Scan<R>) -> Result<(), DbError> {
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

    /// Scans of one workspace that may be run at a time: all but one reader, so that another's scan begins at once whatever
    /// the first is asking.
    fn max_running_of_one(&self) -> usize {
        self.readers.saturating_sub(1).max(1)
    }

    /// How many more scans of a workspace may be begun.
    fn free_for(&self, workspace_id: &Uuid) -> usize {
        self.max_running_of_one().saturating_sub(self.running.get(workspace_id).copied().unwrap_or_default())
    }

    /// How many of those that wait could be begun now.
    pub fn ready(&self) -> usize {
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

    /// The scan whose turn it is, of the workspaces that may have one more running. Whoever takes it tells when it has
    /// [`ended`](Self::ended).
    pub fn take(&mut self) -> Option<Scan<R>> {
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

    /// Puts a scan that was taken and could not be begun where it was.
    pub fn put_back(&mut self, scan: Scan<R>) {
        let workspace_id = scan.workspace_id;
        self.ended(workspace_id);
        self.turns.retain(|turn| *turn != workspace_id);
        self.turns.push_front(workspace_id);
        self.waiting.entry(workspace_id).or_default().push_front(scan);
        self.waiting_in_all += 1;
    }

    /// All that wait, which then do no longer.
    pub fn drain(&mut self) -> Vec<Scan<R>> {
        self.turns.clear();
        self.waiting_in_all = 0;
        self.waiting.drain().flat_map(|(_, scans)| scans).collect()
    }

    /// The first scan of a workspace, whose next turn is behind the others'.
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

    /// A scan that was taken is over.
    pub fn ended(&mut self, workspace_id: Uuid) {
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
    use super::*;

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
