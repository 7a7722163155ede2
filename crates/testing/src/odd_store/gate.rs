//! Holds requests until a test lets them go.

use std::sync::{Condvar, Mutex};

/// Requests that are held wait here, before they reach the store.
#[derive(Debug, Default)]
pub(super) struct Gate {
    held: Mutex<Held>,
    changed: Condvar,
}

/// Which requests are held.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Parts with a number above this one.
    pub(super) parts_above: Option<u32>,
    /// Those that complete an upload, once their answer has begun.
    pub(super) completions: bool,
}

impl Gate {
    pub(super) fn change(&self, change: impl FnOnce(&mut Held)) {
        change(&mut self.held.lock().unwrap());
        self.changed.notify_all();
    }

    pub(super) fn pass(&self, is_held: impl Fn(&Held) -> bool) {
        let held = self.held.lock().unwrap();
        drop(self.changed.wait_while(held, |held| is_held(held)).unwrap());
    }

    pub(super) fn holds_completions(&self) -> bool {
        self.held.lock().unwrap().completions
    }
}
