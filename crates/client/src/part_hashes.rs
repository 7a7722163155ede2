//! Hashes of the local file's parts: the SHA-256 that is sent with each part, and BLAKE3 subtrees that together give the hash of the whole file.

use std::sync::{Mutex, PoisonError};

use partway_api::PartPlan;
use partway_hash::PartHasher;
use sha2::{Digest, Sha256};

use crate::Error;
use crate::source::Source;

/// The hashes of the parts read so far.
#[derive(Debug)]
pub(crate) struct PartHashes {
    plan: PartPlan,
    source: Source,
    with_digests: bool,
    subtrees: Mutex<Vec<Option<Box<[u8]>>>>,
}

impl PartHashes {
    pub(crate) fn new(plan: PartPlan, source: Source, with_digests: bool) -> Self {
        let subtrees = Mutex::new(vec![None; plan.parts() as usize]);
        Self { plan, source, with_digests, subtrees }
    }

    /// Reads a part and keeps its subtree. Returns its SHA-256 if digests are wanted. Blocks.
    pub(crate) fn read(&self, index: u32) -> Result<Option<[u8; 32]>, Error> {
        let Some(range) = self.plan.range(index) else { return Ok(None) };
        let mut hasher = PartHasher::new(range.clone(), self.plan.size_bytes());
        let mut sha256 = self.with_digests.then(Sha256::new);
        self.source.read(range, |bytes| {
            hasher.update(bytes);
            if let Some(sha256) = &mut sha256 {
                sha256.update(bytes);
            }
        })?;
        let mut subtrees = self.subtrees.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(part) = subtrees.get_mut(index as usize) {
            *part = Some(hasher.finish().into());
        }
        Ok(sha256.map(|sha256| sha256.finalize().into()))
    }

    /// The hash of the whole file, as the server writes it; `None` until all parts are read.
    pub(crate) fn of_file(&self) -> Option<String> {
        let subtrees = self.subtrees.lock().unwrap_or_else(PoisonError::into_inner);
        let parts: Option<Vec<_>> =
            (0..).zip(subtrees.iter()).map(|(index, part)| Some((self.plan.range(index)?, part.as_deref()?))).collect();
        partway_hash::merge(self.plan.size_bytes(), parts?).map(|hash| format!("blake3:{hash}"))
    }
}
