//! Multipart uploads: the session's state machine.
//!
//! ```text
//!            start                 complete, all parts there
//!  (nothing) ─────▶ uploading ─────────────────────────────▶ completed
//!                     │   ▲ parts come, are sent again
//!                     │   └─┘
//!                     └────────▶ expired        (its time ran out)
//! ```
//! The database is the truth. While a session takes parts, a `LiveSession` in memory keeps its open blob
//! and knows which parts are there; there is never more than one for a session, which is what lets two requests
//! for the same part, or a part and a complete, see each other.

mod complete;
mod error;
mod expire;
mod live;
mod receive;
mod registry;
mod start;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};

pub use error::UploadError;
pub(crate) use error::db_code;
pub use receive::BodyError;
pub use start::Started;

use crate::config::Config;
use crate::db::Db;
use crate::storage::{LocalStore, WriteGate};
use registry::Registry;

/// Parts whose writing is being started at once. Each takes a blocking thread for a moment, on a slow disk for longer.
const WRITEBACKS: usize = 4;

/// The uploads of one server.
#[derive(Clone)]
pub struct Uploads {
    db: Db,
    store: Arc<LocalStore>,
    gate: Arc<WriteGate>,
    registry: Arc<Registry>,
    /// How long a body may bring nothing.
    stall_timeout: Duration,
    /// Permits to start writing a part back; none where parts do not go to the disk as they come.
    writebacks: Arc<Semaphore>,
    /// Rings when there is garbage.
    garbage_bell: Arc<Notify>,
}

impl Uploads {
    /// `gate` is shared by all that write to `store`.
    pub fn new(db: Db, store: Arc<LocalStore>, gate: Arc<WriteGate>, config: &Config) -> Self {
        let registry = Arc::new(Registry::new(db.clone(), Arc::clone(&store)));
        Self {
            db,
            store,
            gate,
            registry,
            stall_timeout: config.http.stall_timeout.0,
            writebacks: Arc::new(Semaphore::new(if config.storage.early_writeback { WRITEBACKS } else { 0 })),
            garbage_bell: Arc::default(),
        }
    }

    /// Rings when a file was replaced, so that its bytes are freed soon.
    pub fn garbage_bell(&self) -> Arc<Notify> {
        Arc::clone(&self.garbage_bell)
    }
}

/// Runs storage work, which blocks, off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, crate::storage::StorageError> + Send + 'static,
) -> Result<T, UploadError> {
    let result = tokio::task::spawn_blocking(work).await;
    Ok(result.map_err(|_| crate::storage::StorageError::Stopped)??)
}

/// Runs `work` to its end even when the request that wants its result goes away.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, UploadError>> + Send + 'static,
) -> Result<T, UploadError> {
    tokio::spawn(work).await.unwrap_or(Err(UploadError::Storage(crate::storage::StorageError::Stopped)))
}
