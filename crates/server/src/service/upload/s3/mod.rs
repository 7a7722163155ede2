//! Uploads whose parts go to the store: any node serves any request and keeps nothing.
//!
//! The row comes first and names the blob; the store's multipart upload is opened under the blob's key after it. Which
//! parts are there the store alone knows, and is asked. Whoever ends a session (completes, aborts, expires it) claims it
//! in the database first (`claim.rs`), so that no two nodes tell the store different things about one session.
//!
//! Whenever a node dies: a session without its upload, or with more than one, or with an object that is not published, is
//! still found by its row. Completing again goes on from there, and ending it deletes whatever is under its key.

mod checksums;
mod claim;
mod complete;
mod end;
mod parts;
mod start;
mod sweep;
mod whole;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, OnceCell};

use super::in_flight::InFlightLimit;
use super::records::Records;
use super::{UploadError, blocking, plan_of};
use crate::storage::{S3Store, StoreUpload};

/// Files that pass this server on their way to the store at once: each holds up to 16 MiB.
const MAX_STREAMS_IN_FLIGHT: usize = 64;

/// The uploads of one bucket. Clones share them.
#[derive(Clone)]
pub(super) struct S3Uploads {
    records: Records,
    store: Arc<S3Store>,
    /// Rings when there is garbage.
    garbage_bell: Arc<Notify>,
    /// Files whose bytes are passed on to the store.
    streams: InFlightLimit,
    /// What the last sweep found to be in nobody's use.
    suspects: Arc<Mutex<HashSet<StoreUpload>>>,
    /// Whether the store keeps checksums of whole objects, once that is known.
    checksums: Arc<OnceCell<bool>>,
}

impl S3Uploads {
    pub(super) fn new(records: Records, store: Arc<S3Store>, garbage_bell: Arc<Notify>) -> Self {
        let streams = InFlightLimit::new(MAX_STREAMS_IN_FLIGHT);
        Self { records, store, garbage_bell, streams, suspects: Arc::default(), checksums: Arc::default() }
    }
}
