//! Names of files, and of the segments of a folder path.

use partway_api::ErrorCode;
use partway_api::limits::MAX_NAME_BYTES;
use rand::RngExt;
use rand::distr::Alphanumeric;
use unicode_normalization::UnicodeNormalization;

use super::{InvalidInput, quote_for_message};

const ALLOWED: &str = "1 to 255 bytes of UTF-8 (after NFC) without /, \\ and control characters, and not . or ..";
/// Length of a random prefix with its dash.
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
        let name = segment(text).ok_or_else(|| {
            InvalidInput::new(ErrorCode::InvalidFileName, "file_name", quote_for_message(text), ALLOWED)
        })?;
        Ok(Self(name))
    }

    /// The name with a prefix of eight random characters and a dash.
    ///
    /// # Errors
    /// INVALID_FILE_NAME when the result is too long.
    pub fn with_random_prefix(&self) -> Result<Self, InvalidInput> {
        let prefix: String = rand::rng().sample_iter(Alphanumeric).take(PREFIX_CHARS).map(char::from).collect();
        let prefixed = format!("{prefix}-{}", self.0);
        if prefixed.len() > MAX_NAME_BYTES {
            let allowed = format!("at most {} bytes with random_prefix", MAX_NAME_BYTES - PREFIX_CHARS - 1);
            return Err(InvalidInput::new(
                ErrorCode::InvalidFileName,
                "file_name",
                quote_for_message(&self.0),
                allowed,
            ));
        }
        Ok(Self(prefixed))
    }

    /// The name with the extension of another name, unless it has that extension.
    ///
    /// # Errors
    /// INVALID_FILE_NAME when the result is too long.
    pub fn with_extension_of(&self, other: &str) -> Result<Self, InvalidInput> {
        // A name whose only dot is its first character has no extension.
        let Some((_, extension)) = other.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()) else {
            return Ok(self.clone());
        };
        let own = self.0.rsplit_once('.').map(|(_, extension)| extension);
        if extension.is_empty() || own.is_some_and(|own| own.eq_ignore_ascii_case(extension)) {
            return Ok(self.clone());
        }
        let name = format!("{}.{extension}", self.0);
        if name.len() > MAX_NAME_BYTES {
            let allowed = format!("at most {} bytes, without the extension", MAX_NAME_BYTES - extension.len() - 1);
            return Err(InvalidInput::new(ErrorCode::InvalidFileName, "name", quote_for_message(&self.0), allowed));
        }
        Ok(Self(name))
    }

    /// The nearest valid name to a foreign one: without the characters that a name may not have.
    pub fn nearest(text: &str) -> Option<Self> {
        let plain: String = text.nfc().filter(|c| !c.is_control() && !matches!(c, '/' | '\\')).collect();
        let plain = plain.trim();
        let fits =
            plain.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= MAX_NAME_BYTES).last();
        Self::parse(&plain[..fits.unwrap_or_default()]).ok()
    }

    /// Takes the new name of a file.
    ///
    /// # Errors
    /// FILE_NAME_REQUIRED when it is empty, INVALID_FILE_NAME otherwise.
    pub fn parse_new(text: &str) -> Result<Self, InvalidInput> {
        Self::parse(text)
            .map_err(|error| InvalidInput { message: error.message.replacen("file_name", "name", 1), ..error })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text in NFC if it can be a name; file names and folder segments follow the same rule.
pub(super) fn segment(text: &str) -> Option<String> {
    // NFC shortens text by a factor of three at most: longer input is refused without normalizing it.
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

    #[test]
    fn a_renamed_file_keeps_its_extension() {
        for (new, old, name) in [
            ("demo", "a.png", "demo.png"),
            ("demo.png", "a.png", "demo.png"),
            ("demo.PNG", "a.png", "demo.PNG"),
            ("demo.jpg", "a.png", "demo.jpg.png"),
            ("demo", "noextension", "demo"),
            ("demo", ".hidden", "demo"),
            ("demo", "a.", "demo"),
            ("v1.2", "v1.1.tar.gz", "v1.2.gz"),
        ] {
            assert_eq!(FileName::parse(new).unwrap().with_extension_of(old).unwrap().as_str(), name);
        }
        assert!(FileName::parse(&"x".repeat(252)).unwrap().with_extension_of("a.png").is_err());
    }

    #[test]
    fn what_others_call_a_file_is_made_a_name() {
        for (text, name) in [
            ("a.txt", Some("a.txt")),
            ("../../etc/passwd", Some("....etcpasswd")),
            (" C:\\x\0.txt ", Some("C:x.txt")),
            ("..", None),
            ("", None),
            ("/", None),
        ] {
            assert_eq!(FileName::nearest(text).map(|name| name.0).as_deref(), name);
        }
        assert_eq!(FileName::nearest(&"é".repeat(200)).unwrap().0.len(), 254);
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
