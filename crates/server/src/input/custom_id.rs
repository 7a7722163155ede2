//! The client's own id of a file.

use partway_api::ErrorCode;
use partway_api::limits::MAX_CUSTOM_ID_CHARS;

use super::{InvalidInput, quote_for_message};

/// At most 255 characters, without NUL; not unique.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomId(String);

impl CustomId {
    /// Takes the value of `custom_id`.
    ///
    /// # Errors
    /// INVALID_CUSTOM_ID.
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        // PostgreSQL refuses text with NUL.
        if text.chars().count() > MAX_CUSTOM_ID_CHARS || text.contains('\0') {
            let allowed = format!("at most {MAX_CUSTOM_ID_CHARS} characters, none of them NUL");
            return Err(InvalidInput::new(ErrorCode::InvalidCustomId, "custom_id", quote_for_message(text), allowed));
        }
        Ok(Self(text.to_owned()))
    }

    /// The id.
    pub fn into_inner(self) -> String {
        self.0
    }
}
