//! A JSON object from a client, read member by member so that each error names its member.
//!
//! A member that is null counts as missing. Unknown members are ignored.

use partway_api::ErrorCode;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::exact_numbers::first_inexact;
use super::{InvalidInput, Metadata, quote_for_message};

/// The JSON object of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonBody(Map<String, Value>);

impl JsonBody {
    /// Reads a request body.
    ///
    /// # Errors
    /// INVALID_JSON when it is empty, is not JSON, or is not an object; INVALID_METADATA when a number of `metadata` would lose
    /// digits.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidInput> {
        let refuse = |was: String| InvalidInput {
            code: ErrorCode::InvalidJson,
            message: format!("the body is {was}; allowed: one JSON object"),
        };
        if bytes.is_empty() {
            return Err(refuse("empty".into()));
        }
        let parsed = serde_json::from_slice(bytes);
        // A number that is too large for any type is an error of the parser, which does not know its member.
        let may_have = parsed.as_ref().map_or(true, |value: &Value| value.get("metadata").is_some());
        if may_have && let Some(number) = first_inexact(bytes, Some("metadata")) {
            return Err(Metadata::inexact(number));
        }
        match parsed {
            Ok(Value::Object(members)) => Ok(Self(members)),
            Ok(other) => Err(refuse(format!("JSON but not an object: {}", quote_for_message(other)))),
            Err(error) => Err(refuse(format!("not JSON ({error})"))),
        }
    }

    /// An object of members that were not in a JSON body, such as those of a form.
    pub fn of(members: Map<String, Value>) -> Self {
        Self(members)
    }

    /// SHA-256 of the object in compact form, which does not depend on its white space.
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(serde_json::to_vec(&self.0).unwrap_or_default()).into()
    }

    /// The member, unless it is missing or null.
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field).filter(|value| !value.is_null())
    }

    /// A member that is text.
    ///
    /// # Errors
    /// `code`.
    pub fn text(&self, field: &str, code: ErrorCode) -> Result<Option<&str>, InvalidInput> {
        let Some(value) = self.get(field) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| InvalidInput::new(code, field, quote_for_message(value), "a string"))
    }

    /// A member that is a whole number within `allowed`.
    pub(super) fn whole_number(
        &self,
        field: &str,
        code: ErrorCode,
        unit: &str,
        allowed: std::ops::RangeInclusive<u64>,
    ) -> Result<Option<u64>, InvalidInput> {
        let Some(value) = self.get(field) else { return Ok(None) };
        as_whole_number(value).filter(|number| allowed.contains(number)).map(Some).ok_or_else(|| {
            let rule = format!("a whole number of {unit} from {} to {}", allowed.start(), allowed.end());
            InvalidInput::new(code, field, quote_for_message(value), rule)
        })
    }

    /// A member that is true or false, also as text.
    pub(super) fn boolean(&self, field: &str) -> Result<Option<bool>, InvalidInput> {
        let Some(value) = self.get(field) else { return Ok(None) };
        match value {
            Value::Bool(boolean) => Ok(Some(*boolean)),
            Value::String(text) if text == "true" => Ok(Some(true)),
            Value::String(text) if text == "false" => Ok(Some(false)),
            other => {
                Err(InvalidInput::new(ErrorCode::InvalidParameter, field, quote_for_message(other), "true or false"))
            }
        }
    }

    /// A required member that is text.
    ///
    /// # Errors
    /// INVALID_PARAMETER.
    pub fn required_text(&self, field: &str) -> Result<&str, InvalidInput> {
        self.optional_text(field)?
            .ok_or_else(|| InvalidInput::new(ErrorCode::InvalidParameter, field, "missing", "a string"))
    }

    /// Refuses a transformation of the picture: storing the original instead would be another file than the client asked for.
    ///
    /// # Errors
    /// INVALID_PARAMETER where `transform` is there and neither null nor empty.
    pub fn refuse_transform(&self) -> Result<(), InvalidInput> {
        match self.get("transform") {
            None | Some(Value::Null) => Ok(()),
            Some(Value::String(text)) if text.is_empty() => Ok(()),
            Some(given) => {
                let allowed = "none: this server stores files as they are sent";
                Err(InvalidInput::new(ErrorCode::InvalidParameter, "transform", quote_for_message(given), allowed))
            }
        }
    }

    /// An optional member that is text.
    ///
    /// # Errors
    /// INVALID_PARAMETER.
    pub fn optional_text(&self, field: &str) -> Result<Option<&str>, InvalidInput> {
        self.text(field, ErrorCode::InvalidParameter)
    }
}

/// A whole number. JSON has no integer type, and some writers always print a fraction, so 10.0 counts. Numbers up to 2^53 - 1
/// are exact (RFC 8259, section 6).
pub(super) fn as_whole_number(value: &Value) -> Option<u64> {
    let exact =
        |float: f64| (float.fract() == 0.0 && (0.0..=9_007_199_254_740_991.0).contains(&float)).then_some(float as u64);
    value.as_u64().or_else(|| value.as_f64().and_then(exact))
}
