//! The bounds of proxies in front of the server, as far as the files before have found them: the next ones begin with them.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use partway_client::{Event, MAX_PARTS};

/// Bounds that an upload found.
#[derive(Debug, Clone, Copy, Default)]
struct Bounds {
    parts_at_once: Option<usize>,
    part_size: Option<u64>,
}

/// The bounds that the uploads of one command found.
#[derive(Debug, Default)]
pub(super) struct Passing(Mutex<Bounds>);

impl Passing {
    pub(super) fn note(&self, event: &Event<'_>) {
        let mut bounds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::FewerAtOnce { at_once, .. } => bounds.parts_at_once = Some(*at_once),
            Event::MoreAtOnce { .. } => bounds.parts_at_once = None,
            Event::SmallerParts { part_size, .. } => bounds.part_size = Some(*part_size),
            _ => {}
        }
    }

    pub(super) fn parts_at_once(&self) -> Option<usize> {
        self.bounds().parts_at_once
    }

    /// The size of parts for this file; `None` if none was found, or the file would have too many of them.
    pub(super) fn part_size(&self, file: &Path) -> Option<u64> {
        let part_size = self.bounds().part_size?;
        let size = file.metadata().ok()?.len();
        (size <= part_size.saturating_mul(MAX_PARTS)).then_some(part_size)
    }

    fn bounds(&self) -> Bounds {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use partway_client::Error;
    use std::time::Duration;

    #[test]
    fn a_bound_that_was_lifted_does_not_hold_for_the_next_file() {
        let passing = Passing::default();
        let error = Error::Connection("reset".into());
        passing.note(&Event::FewerAtOnce { error: &error, limit: Duration::from_secs(60), at_once: 1 });
        assert_eq!(passing.parts_at_once(), Some(1));
        passing.note(&Event::MoreAtOnce { at_once: 4 });
        assert_eq!(passing.parts_at_once(), None);
    }
}
