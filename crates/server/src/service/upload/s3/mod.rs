//! Uploads whose parts go to the store: any node serves any request and keeps nothing.
//!
//! The row comes first and names the blob; the store's multipart upload is opened under the blob's key after it. Only the store knows
//! which parts are there, and it is asked each time. A node that ends a session (completes, aborts or expires it) claims it in the
//! database first (`claim.rs`), so that no two nodes give the store conflicting orders about one session.
//!
//! Whenever a node dies, the session is still found by its row, be it without an upload, with more than one, or with an object that is
//! not published. Completing it again goes on from there, and ending it deletes everything under its key.

mod backend;
mod checksums;
mod claim;
mod complete;
mod end;
mod parts;
mod start;
mod sweep;
mod write_file;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, OnceCell};

use super::UploadError;
use super::fair_permits::FairPermits;
use super::session::{PartRecords, Records, plan_of};
use super::tasks::blocking;
use crate::storage::{S3Store, StoreUpload};

/// The store lists the parts of its multipart uploads.
const PART_RECORDS: PartRecords = PartRecords::Store;
/// Upper bound of the files that are streamed through this server to the store at once. Each takes up to 16 MiB of memory.
const MAX_STREAMS_IN_FLIGHT: usize = 64;

/// The uploads of one bucket. Clones share them.
#[derive(Clone)]
pub(super) struct S3Uploads {
    records: Records,
    store: Arc<S3Store>,
    /// Rings when there is garbage.
    garbage_bell: Arc<Notify>,
    /// Limits the files that are streamed to the store.
    streams: FairPermits,
    /// Uploads that the last sweep found to be unused.
    suspects: Arc<Mutex<HashSet<StoreUpload>>>,
    /// Whether the store keeps checksums of whole objects, once that is known.
    checksums: Arc<OnceCell<bool>>,
}

impl S3Uploads {
    pub(super) fn new(records: Records, store: Arc<S3Store>, garbage_bell: Arc<Notify>) -> Self {
        let streams = FairPermits::new(MAX_STREAMS_IN_FLIGHT);
        Self { records, store, garbage_bell, streams, suspects: Arc::default(), checksums: Arc::default() }
    }
}
