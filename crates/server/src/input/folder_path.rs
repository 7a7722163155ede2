//! The path of a folder in a workspace.

use partway_api::ErrorCode;
use partway_api::limits::{MAX_FOLDER_BYTES, MAX_FOLDER_LEVELS, MAX_FOLDER_NAME_CHARS};

use super::file_name::segment;
use super::{InvalidInput, quote_for_message};

/// A folder path: segments joined by single slashes, none at either end; empty for the root.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FolderPath(String);

impl FolderPath {
    /// Takes the value of `folder`. Leading, trailing and doubled slashes are dropped.
    ///
    /// # Errors
    /// INVALID_FOLDER.
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        let refuse =
            |allowed: String| InvalidInput::new(ErrorCode::InvalidFolder, "folder", quote_for_message(text), allowed);
        let too_long = || refuse(format!("at most {MAX_FOLDER_BYTES} bytes and {MAX_FOLDER_LEVELS} levels"));
        if text.len() > 4 * MAX_FOLDER_BYTES {
            return Err(too_long());
        }
        let given: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
        if given.len() > MAX_FOLDER_LEVELS {
            return Err(too_long());
        }
        let segments: Option<Vec<String>> = given.into_iter().map(segment).collect();
        let path = segments
            .ok_or_else(|| {
                refuse(
                    "segments that could be file names: at most 255 bytes, no \\ or control character, not . or .."
                        .into(),
                )
            })?
            .join("/");
        if path.len() > MAX_FOLDER_BYTES {
            return Err(too_long());
        }
        Ok(Self(path))
    }

    /// The path; empty for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of a new or renamed folder: 1 to 100 characters that are valid in a file's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderName(String);

impl FolderName {
    /// Takes the value of `name`.
    ///
    /// # Errors
    /// INVALID_FOLDER.
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        let name = segment(text).filter(|name| name.chars().count() <= MAX_FOLDER_NAME_CHARS);
        name.map(Self).ok_or_else(|| {
            let allowed = format!(
                "1 to {MAX_FOLDER_NAME_CHARS} characters (and at most 255 bytes) without /, \\ and control characters, and not . or .."
            );
            InvalidInput::new(ErrorCode::InvalidFolder, "name", quote_for_message(text), allowed)
        })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_too_many_are_dropped() {
        for (given, path) in [("", ""), ("/", ""), ("a", "a"), ("/a//b/", "a/b"), ("uploads/videos", "uploads/videos")]
        {
            assert_eq!(FolderPath::parse(given).unwrap().as_str(), path);
        }
        assert_eq!(FolderPath::parse("cafe\u{301}/x").unwrap().as_str(), "caf\u{e9}/x");
        assert!(FolderPath::parse(&["d"; 32].join("/")).is_ok());
    }

    #[test]
    fn what_could_leave_the_workspace_or_is_too_deep_is_refused() {
        let deep = ["d"; 33].join("/");
        let long = vec!["x".repeat(200); 6].join("/");
        for folder in ["..", "a/../b", "./a", "a\\b", "a/\0", &deep, &long, &"x".repeat(256), &"x".repeat(9000)] {
            assert_eq!(FolderPath::parse(folder).unwrap_err().code, ErrorCode::InvalidFolder, "{folder:?}");
        }
    }
}
