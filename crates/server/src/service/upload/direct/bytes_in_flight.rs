//! Bytes of direct uploads in flight. They count against the quota of their workspace; once the file is published, the database counts them.
//!
//! Invariant: an upload with a public key takes no quota from a private key of its workspace. Each node counts its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use crate::db::api_keys::KeyKind;

/// Bytes in flight of one workspace.
#[derive(Debug, Clone, Copy, Default)]
struct BytesByKind {
    private: u64,
    public: u64,
}

impl BytesByKind {
    fn of(&mut self, kind: KeyKind) -> &mut u64 {
        match kind {
            KeyKind::Private => &mut self.private,
            KeyKind::Public => &mut self.public,
        }
    }

    /// Bytes in flight that count against a file of this kind of key. Files of public keys never count against a private key.
    fn counted(self, kind: KeyKind) -> u64 {
        match kind {
            KeyKind::Private => self.private,
            KeyKind::Public => self.private + self.public,
        }
    }
}

/// Bytes in flight, by workspace. Clones share them.
#[derive(Clone, Default)]
pub(in crate::service::upload) struct BytesInFlight(Arc<Mutex<HashMap<Uuid, BytesByKind>>>);

/// The bytes in flight of one file, counted until it is dropped.
pub(crate) struct FileInFlight {
    all: BytesInFlight,
    workspace_id: Uuid,
    kind: KeyKind,
    bytes: u64,
}

impl BytesInFlight {
    /// A file of which no byte has arrived yet, sent with a key of this kind.
    pub(in crate::service::upload) fn enter(&self, workspace_id: Uuid, kind: KeyKind) -> FileInFlight {
        FileInFlight { all: self.clone(), workspace_id, kind, bytes: 0 }
    }
}

impl FileInFlight {
    /// Bytes in flight of other files that take quota from this one.
    pub(in crate::service::upload) fn others_bytes(&self) -> u64 {
        let all = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_all = all.get(&self.workspace_id).copied().unwrap_or_default();
        of_all.counted(self.kind).saturating_sub(self.bytes)
    }

    /// Adds bytes that arrived. Returns those of the others, as [`Self::others_bytes`] counts them.
    pub(in crate::service::upload) fn add(&mut self, bytes: u64) -> u64 {
        self.bytes += bytes;
        let mut all = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_all = all.entry(self.workspace_id).or_default();
        *of_all.of(self.kind) += bytes;
        of_all.counted(self.kind).saturating_sub(self.bytes)
    }
}

impl Drop for FileInFlight {
    fn drop(&mut self) {
        let mut all = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_all) = all.get_mut(&self.workspace_id) {
            let own = of_all.of(self.kind);
            *own = own.saturating_sub(self.bytes);
            if of_all.counted(KeyKind::Public) == 0 {
                all.remove(&self.workspace_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Uuid = Uuid::from_u128(1);

    #[test]
    fn bytes_in_flight_are_counted_until_their_file_is_dropped() {
        let in_flight = BytesInFlight::default();
        let enter = || in_flight.enter(ONE, KeyKind::Private);
        let (mut one, mut other) = (enter(), enter());
        assert_eq!((one.add(10), other.add(5), one.add(1)), (0, 10, 5));
        drop(one);
        assert_eq!((enter().others_bytes(), other.others_bytes(), other.add(1)), (5, 0, 0));
        drop(other);
        assert!(in_flight.0.lock().unwrap().is_empty());
    }

    #[test]
    fn bytes_of_strangers_take_no_quota_from_private_keys() {
        let in_flight = BytesInFlight::default();
        let (mut own, mut theirs) = (in_flight.enter(ONE, KeyKind::Private), in_flight.enter(ONE, KeyKind::Public));
        assert_eq!((theirs.add(100), own.add(10), theirs.add(1), own.others_bytes()), (0, 0, 10, 0));
        let mut second = in_flight.enter(ONE, KeyKind::Public);
        assert_eq!(second.add(2), 111);
        drop(own);
        assert_eq!(second.others_bytes(), 101);
        drop((theirs, second));
        assert!(in_flight.0.lock().unwrap().is_empty());
    }
}
