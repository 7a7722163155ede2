//! The body of `POST /api/v1/multipart/{session_id}/parts`, validated.

use partway_api::ErrorCode;
use partway_api::limits::MAX_PARTS;
use serde_json::Value;

use super::json::as_whole_number;
use super::start_upload::ttl_seconds;
use super::{InvalidInput, JsonBody, quote_for_message};

/// A request for new part URLs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResignParts {
    /// Indices of the parts; `None` for all missing ones.
    pub parts: Option<Vec<u32>>,
    /// Lifetime of the URLs in seconds.
    pub ttl_seconds: u64,
}

impl ResignParts {
    /// Reads the members.
    ///
    /// # Errors
    /// The code of the field.
    pub fn read(body: &JsonBody) -> Result<Self, InvalidInput> {
        let parts = match body.get("parts") {
            None => None,
            Some(value) => Some(indices(value).ok_or_else(|| {
                let allowed = format!("a list of at most {MAX_PARTS} whole numbers, the indices of parts from 0");
                InvalidInput::new(ErrorCode::InvalidParameter, "parts", quote_for_message(value), allowed)
            })?),
        };
        Ok(Self { parts, ttl_seconds: ttl_seconds(body)? })
    }
}

fn indices(value: &Value) -> Option<Vec<u32>> {
    let values = value.as_array().filter(|values| values.len() as u64 <= MAX_PARTS)?;
    values.iter().map(|value| as_whole_number(value).and_then(|index| u32::try_from(index).ok())).collect()
}
