//! Locks by key, which exist only while they are held or waited for.
//!
//! Invariant: a lock is in the map exactly as long as a [`KeyedLock`] of its key lives. Handles are counted under the map's own mutex.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;

/// Locks of the kind `L` by key. Clones share them.
#[derive(Debug)]
pub(super) struct KeyedLocks<K: Eq + Hash, L = tokio::sync::Mutex<()>>(Arc<Mutex<HashMap<K, Counted<L>>>>);

/// A lock and the number of handles on it.
#[derive(Debug)]
struct Counted<L> {
    lock: Arc<L>,
    handles: usize,
}

/// A handle on the lock of one key. The lock is forgotten when its last handle is dropped.
#[derive(Debug)]
pub(super) struct KeyedLock<K: Eq + Hash, L = tokio::sync::Mutex<()>> {
    all: KeyedLocks<K, L>,
    key: K,
    lock: Arc<L>,
}

/// While it lives, nobody else holds the lock of its key.
#[derive(Debug)]
pub(super) struct KeyedGuard<K: Eq + Hash> {
    // Declared first, so released first.
    _guard: OwnedMutexGuard<()>,
    _lock: KeyedLock<K>,
}

impl<K: Eq + Hash, L> Default for KeyedLocks<K, L> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Eq + Hash, L> Clone for KeyedLocks<K, L> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Eq + Hash, L> KeyedLocks<K, L> {
    fn map(&self) -> MutexGuard<'_, HashMap<K, Counted<L>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock of `key`, made by `make` if nobody else has a handle on it.
    pub(super) fn get_or_insert_with(&self, key: K, make: impl FnOnce() -> L) -> KeyedLock<K, L>
    where
        K: Clone,
    {
        let mut map = self.map();
        let counted = map.entry(key.clone()).or_insert_with(|| Counted { lock: Arc::new(make()), handles: 0 });
        counted.handles += 1;
        KeyedLock { all: self.clone(), key, lock: Arc::clone(&counted.lock) }
    }

    /// Shows every lock on which somebody has a handle.
    pub(super) fn for_each(&self, mut show: impl FnMut(&L)) {
        self.map().values().for_each(|counted| show(&counted.lock));
    }

    /// Number of locks on which somebody has a handle.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.map().len()
    }
}

impl<K: Eq + Hash + Clone> KeyedLocks<K> {
    /// Waits until nobody holds the lock of `key`, and takes it. Cancel safe.
    pub(super) async fn lock(&self, key: K) -> KeyedGuard<K> {
        let lock = self.get_or_insert_with(key, tokio::sync::Mutex::default);
        KeyedGuard { _guard: Arc::clone(lock.lock()).lock_owned().await, _lock: lock }
    }
}

impl<K: Eq + Hash, L> KeyedLock<K, L> {
    /// The lock itself. A clone excludes others only as long as the handle lives.
    pub(super) fn lock(&self) -> &Arc<L> {
        &self.lock
    }

    /// Whether somebody else has a handle on the lock, too.
    pub(super) fn is_shared(&self) -> bool {
        self.all.map().get(&self.key).is_some_and(|counted| counted.handles > 1)
    }
}

impl<K: Eq + Hash, L> Drop for KeyedLock<K, L> {
    fn drop(&mut self) {
        let mut map = self.all.map();
        if let Some(counted) = map.get_mut(&self.key) {
            counted.handles -= 1;
            if counted.handles == 0 {
                map.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn one_at_a_time_holds_a_lock_and_none_is_remembered() {
        let locks = KeyedLocks::<u32>::default();
        let first = locks.lock(1).await;
        let other_key = locks.lock(2).await;
        let waiting = tokio::time::timeout(Duration::from_millis(20), locks.lock(1));
        assert!(waiting.await.is_err(), "two hold the lock");
        assert_eq!(locks.len(), 2);
        drop(first);
        assert_eq!(locks.len(), 1, "a lock whose waiter went away is remembered");
        drop(locks.lock(1).await);
        drop(other_key);
        assert_eq!(locks.len(), 0);
    }

    #[test]
    fn a_lock_is_shared_while_two_have_a_handle() {
        let locks = KeyedLocks::<u32, ()>::default();
        let one = locks.get_or_insert_with(1, || ());
        assert!(!one.is_shared());
        let two = locks.get_or_insert_with(1, || ());
        assert!(one.is_shared() && two.is_shared());
        drop(two);
        assert!(!one.is_shared());
    }
}
