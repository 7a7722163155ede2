//! Names of files, and of the segments of a folder path.

use partway_api::ErrorCode;
use partway_api::limits::MAX_NAME_BYTES;
use rand::Rng;
use rand::distr::Alphanumeric;
use unicode_normalization::UnicodeNormalization;

use super::{InvalidInput, shown};

const ALLOWED: &str = "1 to 255 bytes of UTF-8 (after NFC) without /, \\ and control characters, and not . or ..";
/// Random characters in front of a name, and the dash behind them.
const PREFIX_CHARS: usize = 8;

/// The name of a file: in NFC, 1 to 255 bytes, without separators and control characters, not `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName(String);

impl FileName {
    /// Takes the value of `file_name`.
    ///
    /// # Errors
    /// FILE_NAME_REQUIRED when it is empty, INVALID_FILE_NAME otherwise.
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        if text.is_empty() {
            return Err(InvalidInput::new(ErrorCode::FileNameRequired, "file_name", "empty", ALLOWED));
        }
        let name = segment(text)
            .ok_or_else(|| InvalidInput::new(ErrorCode::InvalidFileName, "file_name", shown(text), ALLOWED))?;
        Ok(Self(name))
    }

    /// The name with eight random characters and a dash in front.
    ///
    /// # Errors
    /// INVALID_FILE_NAME when that makes it too long.
    pub fn with_random_prefix(&self) -> Result<Self, InvalidInput> {
        let prefix: String = rand::rng().sample_iter(Alphanumeric).take(PREFIX_CHARS).map(char::from).collect();
        let prefixed = format!("{prefix}-{}", self.0);
        if prefixed.len() > MAX_NAME_BYTES {
            let allowed = format!("at most {} bytes with random_prefix", MAX_NAME_BYTES - PREFIX_CHARS - 1);
            return Err(InvalidInput::new(ErrorCode::InvalidFileName, "file_name", shown(&self.0), allowed));
        }
        Ok(Self(prefixed))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text in NFC if it can be a name; file names and folder segments follow the same rule.
pub(super) fn segment(text: &str) -> Option<String> {
    // NFC never makes text much shorter (at most by a factor of three): longer input need not be normalized.
    if text.len() > 4 * MAX_NAME_BYTES {
        return None;
    }
    let name: String = text.nfc().collect();
    let allowed = (1..=MAX_NAME_BYTES).contains(&name.len())
        && name != "."
        && name != ".."
        && !name.chars().any(|c| c == '/' || c == '\\' || c.is_control());
    allowed.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn code(text: &str) -> Result<String, ErrorCode> {
        FileName::parse(text).map(|name| name.0).map_err(|error| error.code)
    }

    #[test]
    fn names_of_all_scripts_are_kept_and_composed() {
        for name in ["a", "big video.mp4", "🎬.mov", "ملف.pdf", "עברית.txt", "...", ".hidden", "a..b", &"x".repeat(255)]
        {
            assert_eq!(code(name).as_deref(), Ok(name));
        }
        assert_eq!(code("cafe\u{301}.jpg").as_deref(), Ok("caf\u{e9}.jpg"));
        // 300 bytes decomposed, 200 composed.
        assert!(code(&"e\u{301}".repeat(100)).is_ok());
    }

    #[test]
    fn separators_control_characters_and_dots_are_refused() {
        assert_eq!(code(""), Err(ErrorCode::FileNameRequired));
        for name in ["a/b", "a\\b", ".", "..", "a\0b", "a\nb", "\u{7f}", "\u{85}", &"x".repeat(256), &"é".repeat(128)]
        {
            assert_eq!(code(name), Err(ErrorCode::InvalidFileName), "{name:?}");
        }
    }

    #[test]
    fn a_random_prefix_counts_towards_the_length() {
        let name = FileName::parse("v.mp4").unwrap().with_random_prefix().unwrap();
        assert_eq!(name.as_str().len(), 14);
        assert!(name.as_str().ends_with("-v.mp4"));
        assert!(FileName::parse(&"x".repeat(246)).unwrap().with_random_prefix().is_ok());
        assert!(FileName::parse(&"x".repeat(247)).unwrap().with_random_prefix().is_err());
    }

    proptest! {
        #[test]
        fn what_is_accepted_keeps_the_rule(text in "\\PC{0,300}|[./\\\\a\\x00-\\x20é]{0,300}") {
            if let Ok(name) = FileName::parse(&text) {
                prop_assert!((1..=255).contains(&name.0.len()));
                prop_assert!(!name.0.contains(['/', '\\', '\0', '\n']));
                prop_assert!(name.0 != "." && name.0 != "..");
                prop_assert_eq!(FileName::parse(&name.0), Ok(name));
            }
        }
    }
}
