//! Tasks that wait for a connection to PostgreSQL: writes and look-ups first in, first out; scans round-robin by workspace.
//!
//! Invariants: scans have at most half of the connections, so that look-ups never wait for a scan; if the server has fewer
//! connections than configured, half of those that it gave. A task does not wait for a connection that cannot be made while
//! other connections can run it.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::connection::PostgresConnection;
use crate::db::engine::scan_queue::{Scan, Turns};
use crate::db::sql::DbError;

/// A query that waits longer for a connection is answered as unavailable: the server cannot keep up.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(10);
/// After the server had no connection left, it is assumed for this long to have no more than it gave.
const EXHAUSTED_DURATION: Duration = Duration::from_secs(60);

/// A write or a look-up.
pub(super) struct Job {
    pub asked_at: Instant,
    pub run: Box<Work>,
}

/// Runs on a thread with its connection, or with the error that there is none.
type Work = dyn FnOnce(Result<&mut PostgresConnection, DbError>) + Send;

/// A list or search. Running it returns the answer, which is sent once nothing can cancel the scan any more.
pub(super) type PostgresScan = Scan<Box<ScanWork>>;
type ScanWork = dyn FnOnce(Result<&mut PostgresConnection, DbError>) -> Answer + Send;
pub(super) type Answer = Box<dyn FnOnce() + Send>;

/// A task for a thread that has a connection.
pub(super) enum Task {
    Job(Job),
    Scan(PostgresScan),
}

/// The waiting tasks, and the threads that wait for one.
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
    exhausted_at: Option<Instant>,
    closed: bool,
}

impl State {
    /// Scans come first: their share is limited, so they cannot delay jobs for long.
    fn take(&mut self) -> Option<Task> {
        self.scans.take().map(Task::Scan).or_else(|| self.jobs.pop_front().map(Task::Job))
    }

    /// Whether there are more tasks than idle connections.
    fn wants_connection(&self) -> bool {
        self.jobs.len() + self.scans.ready() > self.idle
    }
}

/// Connections that may scan, out of this many.
fn scan_share(connections: usize) -> usize {
    (connections / 2).max(1)
}

impl Queue {
    pub(super) fn new(max_connections: usize) -> Self {
        let state = State {
            jobs: VecDeque::new(),
            scans: Turns::new(scan_share(max_connections)),
            idle: 0,
            connected: 0,
            exhausted_at: None,
            closed: false,
        };
        Self { max_connections, state: Mutex::new(state), asked: Condvar::new(), wanted: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, job: Job) {
        self.lock().jobs.push_back(job);
        self.wake();
    }

    /// Appends a scan to those of its workspace.
    ///
    /// # Errors
    /// [`DbError::Busy`] when the workspace has too many.
    pub(super) fn push_scan(&self, scan: PostgresScan) -> Result<(), DbError> {
        self.lock().scans.push(scan)?;
        self.wake();
        Ok(())
    }

    /// Puts a task back whose connection was lost before it could begin.
    pub(super) fn put_back(&self, task: Task) {
        match task {
            Task::Job(job) => self.lock().jobs.push_front(job),
            Task::Scan(scan) => self.lock().scans.put_back(scan),
        }
        self.wake();
    }

    /// A scan that a thread took has ended: another may begin that its workspace's share, or that of all scans, held back.
    pub(super) fn scan_ended(&self, scan_of: uuid::Uuid) {
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

    /// Ends the threads once no task is left.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.asked.notify_all();
        self.wanted.notify_all();
    }

    /// The next task for a thread that has a connection; `None` when there will be no more.
    pub(super) fn next(&self) -> Option<Task> {
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

    /// Waits until a thread without a connection should make one. False when there will be no more tasks.
    pub(super) fn wait_until_wanted(&self) -> bool {
        let mut state = self.lock();
        while !state.wants_connection() {
            if state.closed {
                return false;
            }
            state = self.wanted.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        true
    }

    /// A thread has made a connection.
    pub(super) fn connected(&self) {
        let mut state = self.lock();
        state.connected += 1;
        if state.exhausted_at.is_none_or(|at| at.elapsed() > EXHAUSTED_DURATION) {
            state.exhausted_at = None;
            state.scans.set_readers(scan_share(self.max_connections));
        }
    }

    /// A thread has lost its connection.
    pub(super) fn disconnected(&self) {
        self.lock().connected -= 1;
    }

    /// The server, or a pool in front of it, had no connection left.
    pub(super) fn had_none_left(&self) {
        let mut state = self.lock();
        state.exhausted_at = Some(Instant::now());
        let share = scan_share(state.connected);
        state.scans.set_readers(share);
    }

    /// Answers waiting tasks that there is no connection: all of them if no thread has one or the server is unreachable,
    /// otherwise those that waited for too long. Threads that have a connection run the rest.
    pub(super) fn answer_unavailable(&self, error: &DbError, is_unreachable: bool) {
        let mut state = self.lock();
        let all = is_unreachable || state.connected == 0;
        let is_answered = |job: &Job| all || job.asked_at.elapsed() > MAX_WAIT;
        let (answered, kept): (VecDeque<Job>, VecDeque<Job>) =
            std::mem::take(&mut state.jobs).into_iter().partition(is_answered);
        state.jobs = kept;
        let scans = if all { state.scans.drain() } else { Vec::new() };
        drop(state);
        answered.into_iter().for_each(|job| (job.run)(Err(error.share())));
        scans.into_iter().for_each(|scan| (scan.run)(Err(error.share()))());
    }
}
