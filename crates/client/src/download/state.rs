//! The state of an unfinished download: a small JSON file next to its bytes.
//!
//! Invariant: it names only bytes of one version that were synced before it was written. It is replaced atomically.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::ranges::Ranges;
use super::version::Version;
use crate::{Error, local_files};

/// An unfinished download.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// URL of the file.
    pub(crate) url: String,
    /// Its version.
    #[serde(flatten)]
    pub(crate) version: Version,
    /// The received bytes.
    pub(crate) received: Ranges,
}

impl State {
    /// Reads the state at `path`; `None` when it is missing, malformed or impossible.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let state: Self = serde_json::from_slice(&local_files::read(path).ok()?).ok()?;
        Some(state).filter(|state| state.received.are_within(state.version.size_bytes))
    }

    /// Writes it to `path`, through `new_path`.
    pub(crate) fn write(&self, path: &Path, new_path: &Path) -> Result<(), Error> {
        let failed = |source| Error::File { path: path.to_owned(), source };
        let text = serde_json::to_vec(self).map_err(|error| failed(error.into()))?;
        local_files::replace(path, new_path, &text).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn state() -> State {
        State {
            url: "http://x/w/f".into(),
            version: Version { size_bytes: 100, etag: "\"e\"".into() },
            received: Ranges::from(vec![(0, 10), (50, 100)]),
        }
    }

    #[test]
    fn it_is_read_as_it_was_written_and_leaves_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let (path, new) = (directory.path().join("state"), directory.path().join("new"));
        assert_eq!(State::read(&path), None);
        state().write(&path, &new).unwrap();
        assert_eq!(State::read(&path), Some(state()));
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            r#"{"url":"http://x/w/f","size_bytes":100,"etag":"\"e\"","received":[[0,10],[50,100]]}"#
        );
        assert!(!new.exists());
    }

    #[test]
    fn what_is_cut_or_impossible_counts_as_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        let text = serde_json::to_string(&state()).unwrap();
        for bad in [&text[..text.len() - 1], "", "[]", &text.replace("100,", "99,"), &text.replace("[0,10]", "[0,-1]")]
        {
            fs::write(&path, bad).unwrap();
            assert_eq!(State::read(&path), None, "{bad}");
        }
    }

    #[test]
    fn one_that_cannot_be_written_is_named() {
        let path = Path::new("/nowhere/state");
        let error = state().write(path, Path::new("/nowhere/new")).unwrap_err();
        assert!(error.to_string().starts_with("/nowhere/state: No such file"), "{error}");
    }
}
