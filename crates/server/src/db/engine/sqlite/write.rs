//! A write on its way from the request to the writer and back.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::sync::oneshot;

use crate::db::engine::durability::{Durability, Purpose};
use crate::db::sql::{DbError, Tx};

/// A write that waits for the writer.
pub(super) struct Write {
    pub purpose: Purpose,
    pub durability: Durability,
    pub job: Box<dyn Job>,
}

impl Write {
    /// A write, and the receiver of its outcome. A query that panicked drops its sender.
    pub(super) fn new<T, F>(
        purpose: Purpose,
        durability: Durability,
        query: F,
    ) -> (Self, oneshot::Receiver<Result<T, DbError>>)
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, DbError> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let job = Box::new(Pending { query: Some(query), outcome: None, sender });
        (Self { purpose, durability, job }, receiver)
    }
}

/// The query of a write, on its way through a transaction that other writes share.
pub(super) trait Job: Send {
    /// Runs the query and keeps its outcome. False when its changes must be undone.
    fn run(&mut self, tx: &Tx<'_>) -> bool;

    /// The query's error, if it failed.
    fn failure(&self) -> Option<DbError>;

    /// Answers the waiting request. Called as well for jobs that a failed transaction never ran.
    fn reply(self: Box<Self>, committed: Result<(), &DbError>);
}

/// A query, and the request that waits for it.
struct Pending<T, F> {
    query: Option<F>,
    outcome: Option<Result<T, DbError>>,
    sender: oneshot::Sender<Result<T, DbError>>,
}

impl<T: Send, F: FnOnce(&Tx<'_>) -> Result<T, DbError> + Send> Job for Pending<T, F> {
    fn run(&mut self, tx: &Tx<'_>) -> bool {
        // A panic leaves no outcome.
        self.outcome = self.query.take().and_then(|query| catch_unwind(AssertUnwindSafe(|| query(tx))).ok());
        matches!(self.outcome, Some(Ok(_)))
    }

    fn failure(&self) -> Option<DbError> {
        self.outcome.as_ref().and_then(|outcome| outcome.as_ref().err()).map(DbError::share)
    }

    fn reply(self: Box<Self>, committed: Result<(), &DbError>) {
        let _ = self.sender.send(match (self.outcome, committed) {
            (Some(Err(error)), _) => Err(error),
            (_, Err(error)) => Err(error.share()),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(DbError::Panicked),
        });
    }
}
