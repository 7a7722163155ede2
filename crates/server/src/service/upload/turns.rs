//! One at a time for each key, in memory.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

/// Locks that exist while somebody holds or wants them.
#[derive(Debug)]
pub(super) struct Turns<K> {
    locks: Mutex<HashMap<K, Arc<tokio::sync::Mutex<()>>>>,
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self { locks: Mutex::default() }
    }
}

/// While it lives, nobody else has the turn of its key.
#[derive(Debug)]
pub(super) struct TurnGuard<'t, K: Eq + Hash> {
    turns: &'t Turns<K>,
    key: K,
    /// Away once it is being dropped.
    lock: Option<OwnedMutexGuard<()>>,
}

impl<K: Eq + Hash + Clone> Turns<K> {
    /// Waits until nobody has the turn of `key`.
    pub(super) async fn take_turn(&self, key: K) -> TurnGuard<'_, K> {
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(locks.entry(key.clone()).or_default())
        };
        TurnGuard { turns: self, key, lock: Some(lock.lock_owned().await) }
    }
}

impl<K: Eq + Hash> Drop for TurnGuard<'_, K> {
    fn drop(&mut self) {
        let mut locks = self.turns.locks.lock().unwrap_or_else(PoisonError::into_inner);
        self.lock = None;
        // Locks are only cloned under this map's lock: one that nobody else holds now is wanted by nobody.
        if locks.get(&self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            locks.remove(&self.key);
        }
    }
}
