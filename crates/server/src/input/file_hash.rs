//! The hash of a whole file, as a client says it.

use partway_api::ErrorCode;

use super::{InvalidInput, shown};

const PREFIX: &str = "blake3:";

/// `blake3:` and 64 hexadecimal digits, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHash(String);

impl FileHash {
    /// Takes the value of `hash`.
    ///
    /// # Errors
    /// INVALID_PARAMETER.
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        let digits = text.strip_prefix(PREFIX).and_then(|digits| blake3::Hash::from_hex(digits).ok());
        digits.map(|hash| Self(format!("{PREFIX}{}", hash.to_hex()))).ok_or_else(|| {
            let allowed = "blake3: and the 64 hexadecimal digits that b3sum prints";
            InvalidInput::new(ErrorCode::InvalidParameter, "hash", shown(text), allowed)
        })
    }

    /// The hash, with its prefix.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The hash, with its prefix.
    pub fn into_inner(self) -> String {
        self.0
    }
}
