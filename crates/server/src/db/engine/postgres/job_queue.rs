//! Work that waits for a connection to PostgreSQL: writes and look-ups as they come, scans in turns by workspace.
//!
//! Invariants: scans have at most half of the connections, so that look-ups never wait for one; where the server has fewer
//! connections than were asked for, half of those that it gave. Work waits for no connection that cannot be made while
//! others can serve it.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::connection::PostgresConnection;
use crate::db::engine::scan_queue::{Scan, Turns};
use crate::db::sql::DbError;

/// A query that waits longer for a connection is told that the database is away: the server cannot keep up.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(10);
/// After the server had no connection left, so long it is taken to have no more than it gave.
const FEW_CONNECTIONS: Duration = Duration::from_secs(60);

/// A write or a look-up.
pub(super) struct Job {
    pub asked_at: Instant,
    pub run: Box<Work>,
}

/// Work of a thread with its connection, or with the news that there is none.
type Work = dyn FnOnce(Result<&mut PostgresConnection, DbError>) + Send;

/// A list or search. Running it gives the answer, which is handed over when nothing can end the scan any more.
pub(super) type PostgresScan = Scan<Box<ScanWork>>;
type ScanWork = dyn FnOnce(Result<&mut PostgresConnection, DbError>) -> Answer + Send;
pub(super) type Answer = Box<dyn FnOnce() + Send>;

/// Something for a thread that has a connection.
pub(super) enum Task {
    Job(Job),
    Scan(PostgresScan),
}

/// The work that waits, and the threads that wait for some.
pub(super) struct Queue {
    max_connections: usize,
    state: Mutex<State>,
    /// Wakes a thread that has a connection.
    asked: Condvar,
    /// Wakes a thread that has none.
    wanted: Condvar,
}

struct State {
    jobs: VecDeque<Job>,
    scans: Turns<Box<ScanWork>>,
    /// Threads that wait with a connection.
    idle: usize,
    /// Threads that have a connection.
    connected: usize,
    /// When the server last had no connection left.
    refused_at: Option<Instant>,
    closed: bool,
}

impl State {
    /// Scans come first: they have their share, and nobody has both.
    fn take(&mut self) -> Option<Task> {
        self.scans.take().map(Task::Scan).or_else(|| self.jobs.pop_front().map(Task::Job))
    }

    /// Whether there is more to do than those who have a connection can begin with.
    fn wants_connection(&self) -> bool {
        self.jobs.len() + self.scans.ready() > self.idle
    }
}

/// Connections that scan, of so many.
fn share(connections: usize) -> usize {
    (connections / 2).max(1)
}

impl Queue {
    pub fn new(max_connections: usize) -> Self {
        let state = State {
            jobs: VecDeque::new(),
            scans: Turns::new(share(max_connections)),
            idle: 0,
            connected: 0,
            refused_at: None,
            closed: false,
        };
        Self { max_connections, state: Mutex::new(state), asked: Condvar::new(), wanted: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn push(&self, job: Job) {
        self.lock().jobs.push_back(job);
        self.wake();
    }

    /// Puts a scan behind the others of its workspace.
    ///
    /// # Errors
    /// [`DbError::Busy`] when the workspace has too many.
    pub fn push_scan(&self, scan: PostgresScan) -> Result<(), DbError> {
        self.lock().scans.push(scan)?;
        self.wake();
        Ok(())
    }

    /// For a thread whose connection was lost before it could begin.
    pub fn put_back(&self, task: Task) {
        match task {
            Task::Job(job) => self.lock().jobs.push_front(job),
            Task::Scan(scan) => self.lock().scans.put_back(scan),
        }
        self.wake();
    }

    /// A scan that a thread took is over: another may begin, which was held back by its workspace's or by all scans' share.
    pub fn scan_ended(&self, scan_of: uuid::Uuid) {
        let mut state = self.lock();
        state.scans.ended(scan_of);
        if state.scans.ready() > 0 {
            drop(state);
            self.wake();
        }
    }

    fn wake(&self) {
        self.asked.notify_one();
        self.wanted.notify_one();
    }

    /// Ends the threads, once nothing is left to do.
    pub fn close(&self) {
        self.lock().closed = true;
        self.asked.notify_all();
        self.wanted.notify_all();
    }

    /// The next task for a thread that has a connection; `None` when there will be no more.
    pub fn next(&self) -> Option<Task> {
        let mut state = self.lock();
        state.idle += 1;
        let task = loop {
            let task = state.take();
            if task.is_some() || state.closed {
                break task;
            }
            state = self.asked.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        state.idle -= 1;
        task
    }

    /// Waits until a thread that has no connection should make one. False when there will be no more to do.
    pub fn wait_until_wanted(&self) -> bool {
        let mut state = self.lock();
        while !state.wants_connection() {
            if state.closed {
                return false;
            }
            state = self.wanted.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        true
    }

    /// A thread has a connection.
    pub fn connected(&self) {
        let mut state = self.lock();
        state.connected += 1;
        if state.refused_at.is_none_or(|at| at.elapsed() > FEW_CONNECTIONS) {
            state.refused_at = None;
            state.scans.set_readers(share(self.max_connections));
        }
    }

    /// A thread has lost it.
    pub fn disconnected(&self) {
        self.lock().connected -= 1;
    }

    /// The server, or a pool in front of it, had no connection left.
    pub fn had_none_left(&self) {
        let mut state = self.lock();
        state.refused_at = Some(Instant::now());
        let share = share(state.connected);
        state.scans.set_readers(share);
    }

    /// Tells those who wait that there is no connection: all of them where nobody has one, or those who waited for too
    /// long. Those whose turn will come are left to the others.
    pub fn tell(&self, error: &DbError, is_away: bool) {
        let mut state = self.lock();
        let all = is_away || state.connected == 0;
        let is_told = |job: &Job| all || job.asked_at.elapsed() > MAX_WAIT;
        let (told, kept): (VecDeque<Job>, VecDeque<Job>) =
            std::mem::take(&mut state.jobs).into_iter().partition(is_told);
        state.jobs = kept;
        let scans = if all { state.scans.drain() } else { Vec::new() };
        drop(state);
        told.into_iter().for_each(|job| (job.run)(Err(error.share())));
        scans.into_iter().for_each(|scan| (scan.run)(Err(error.share()))());
    }
}
