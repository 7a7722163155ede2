//! The client's own JSON object.

use partway_api::ErrorCode;
use partway_api::limits::MAX_METADATA_BYTES;
use serde_json::{Map, Value};

use super::exact_numbers::first_inexact;
use super::{InvalidInput, quote_for_message};

/// A JSON object of at most 16 KiB in compact form, with its members in the order of the request.
#[derive(Debug, Clone, PartialEq)]
pub struct Metadata(Map<String, Value>);

impl Metadata {
    /// Takes the value of `metadata`.
    ///
    /// # Errors
    /// INVALID_METADATA.
    pub fn parse(value: &Value) -> Result<Self, InvalidInput> {
        let refuse =
            |was: String, allowed: String| InvalidInput::new(ErrorCode::InvalidMetadata, "metadata", was, allowed);
        let Value::Object(members) = value else {
            return Err(refuse(quote_for_message(value), "a JSON object".into()));
        };
        let bytes = serde_json::to_vec(members).map_or(usize::MAX, |json| json.len());
        if bytes > MAX_METADATA_BYTES {
            return Err(refuse(format!("{bytes} bytes of JSON"), format!("at most {MAX_METADATA_BYTES} bytes")));
        }
        Ok(Self(members.clone()))
    }

    /// Takes the text of an object.
    ///
    /// # Errors
    /// INVALID_METADATA, also when a number would lose digits.
    pub fn parse_text(text: &str) -> Result<Self, InvalidInput> {
        if let Some(number) = first_inexact(text.as_bytes(), None) {
            return Err(Self::inexact(number));
        }
        let parsed = serde_json::from_str(text).map_err(|_| {
            let allowed = "a JSON object, or its text";
            InvalidInput::new(ErrorCode::InvalidMetadata, "metadata", quote_for_message(text), allowed)
        })?;
        Self::parse(&parsed)
    }

    /// The refusal of a number that would not come back as it is.
    pub(super) fn inexact(number: &str) -> InvalidInput {
        let was = format!("an object with the number {}", shown(number));
        let allowed = "numbers that 64 bits hold exactly; write others as text, in quotes";
        InvalidInput::new(ErrorCode::InvalidMetadata, "metadata", was, allowed)
    }

    /// Sets the members of `changes` in `before`; a member that is null is removed (RFC 7396, at the first level only).
    ///
    /// # Errors
    /// INVALID_METADATA when the result is too large.
    pub fn merge(mut before: Map<String, Value>, changes: Map<String, Value>) -> Result<Self, InvalidInput> {
        for (name, value) in changes {
            if value.is_null() {
                before.shift_remove(&name);
            } else {
                before.insert(name, value);
            }
        }
        Self::parse(&Value::Object(before))
    }

    /// The members.
    pub fn into_inner(self) -> Map<String, Value> {
        self.0
    }
}

/// A number for a message: its beginning, if it is long.
fn shown(number: &str) -> String {
    const MAX_CHARS: usize = 40;
    match number.char_indices().nth(MAX_CHARS) {
        Some((at, _)) => format!("{}…", &number[..at]),
        None => number.to_owned(),
    }
}
