//! The name of one version of a file, as the query of a URL has it.
//!
//! Invariant: a version keeps its name as long as the file has these bytes, this type and this name, and no other version of its
//! path has it. It comes from the id that each upload gets. The entity tag would do less: it changes when the bytes move to another
//! storage, and two uploads of the same bytes may share it although they have different types, which caches would keep.

use std::fmt;

use uuid::Uuid;

/// Begins every name. Sites have a `v` of their own in the URLs of their pictures, such as a number or a hash, which must not be taken for
/// the name of a version.
const PREFIX: &str = "pw-";
/// Digits of a name: 80 bits.
const DIGITS: usize = 20;

/// Names one version of a file: `pw-` and 20 hexadecimal digits in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileVersion(String);

impl FileVersion {
    /// The version that the upload with this file id has made.
    pub fn of(file_id: Uuid) -> Self {
        let digits = blake3::hash(file_id.as_bytes()).to_hex();
        Self(PREFIX.chars().chain(digits.chars().take(DIGITS)).collect())
    }

    /// Reads a name; `None` for text that can be none.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let digits = text.strip_prefix(PREFIX)?;
        (digits.len() == DIGITS && digits.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for FileVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// URLs with these names are in caches and in the records of clients.
    #[test]
    fn a_version_keeps_its_name_in_every_release() {
        let id = Uuid::from_u128(0x0192_3f0a_7b3c_7d00_8000_0000_0000_0001);
        assert_eq!(FileVersion::of(id).to_string(), "pw-9173cebb9a187b64b05b");
        assert_eq!(FileVersion::parse("pw-9173cebb9a187b64b05b"), Some(FileVersion::of(id)));
        assert_ne!(FileVersion::of(Uuid::from_u128(id.as_u128() + 1)), FileVersion::of(id));
    }

    #[test]
    fn text_that_is_no_name_of_a_version_is_not_taken_for_one() {
        let name = "pw-0123456789abcdef0123";
        assert!(FileVersion::parse(name).is_some());
        for text in [
            "",
            &name[1..],
            &name[3..],
            &format!("{name}4"),
            &name.to_uppercase(),
            &name.replace('a', "g"),
            &name.replace('a', " "),
        ] {
            assert_eq!(FileVersion::parse(text), None, "{text:?}");
        }
    }
}
