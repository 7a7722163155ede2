//! State of a session while it takes parts, shared by its requests: how far it is, when it expires, and which parts are there.

use crate::db::sessions::Status;
use crate::service::upload::backend::Arrival;
use crate::service::upload::local::life::Life;

#[derive(Debug)]
pub(super) struct Table {
    pub(super) phase: Phase,
    /// How often a sync has failed. Bytes written before the last failure may be lost.
    pub(super) failed_syncs: u64,
    pub(super) life: Life,
    pub(super) parts: Vec<Part>,
}

impl Table {
    /// That of a session with `parts` parts, of which the database has the `recorded` ones.
    pub(super) fn new(life: Life, parts: u32, recorded: Vec<(u32, Vec<u8>)>) -> Self {
        let mut parts = vec![Part::default(); parts as usize];
        for (index, subtrees) in recorded {
            if let Some(part) = parts.get_mut(index as usize) {
                *part = Part { subtrees: Some(subtrees.into()), maybe_recorded: true, latest: None };
            }
        }
        Self { phase: Phase::Uploading, failed_syncs: 0, life, parts }
    }

    /// Indices of the parts that are there, and of those that are not.
    pub(super) fn parts(&self) -> (Vec<u32>, Vec<u32>) {
        (0..self.parts.len() as u32).partition(|index| self.parts[*index as usize].subtrees.is_some())
    }
}

/// How far the session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Parts may be written.
    Uploading,
    /// The parts are being synced, and perhaps published: no part may be begun. Becomes `Ended` or `Uploading` again, as the holder of
    /// `ending` decides.
    Ending,
    /// Final.
    Ended(Status),
}

#[derive(Debug, Clone, Default)]
pub(super) struct Part {
    /// Set while the part's bytes are complete and its record is in the database.
    pub(super) subtrees: Option<Box<[u8]>>,
    /// Whether the database may have a record, which must be deleted before the bytes are touched.
    pub(super) maybe_recorded: bool,
    /// The latest request that was granted a lease.
    pub(super) latest: Option<Arrival>,
}
