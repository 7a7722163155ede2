//! The names of the files of an unfinished download, in the directory of its target.

use std::path::{Path, PathBuf};

/// Suffixes that are appended to the target's name: for the bytes, their state, and the state while it is written.
pub(super) const PART_SUFFIX: &str = ".partway-part";
pub(super) const STATE_SUFFIX: &str = ".partway-state";
pub(super) const NEW_STATE_SUFFIX: &str = ".partway-state.new";
/// Upper bound of a file name in bytes, on the filesystems in use.
const MAX_NAME_BYTES: usize = 255;
/// Length in bytes to which a longer name is cut, so that the longest suffix fits.
const CUT_NAME_BYTES: usize = 200;

/// The target's path with a suffix, in the same directory.
pub(super) fn with_suffix(target: &Path, suffix: &str) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    if name.len() + NEW_STATE_SUFFIX.len() > MAX_NAME_BYTES {
        let text = name.to_string_lossy();
        // The hash distinguishes long names with the same beginning.
        let hash = blake3::hash(name.as_encoded_bytes()).to_hex();
        let cut = (0..=CUT_NAME_BYTES).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        name = format!("{}-{}", &text[..cut], &hash[..8]).into();
    }
    name.push(suffix);
    target.with_file_name(name)
}
