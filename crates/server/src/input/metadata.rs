//! The client's own JSON object.

use partway_api::ErrorCode;
use partway_api::limits::MAX_METADATA_BYTES;
use serde_json::{Map, Value};

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
