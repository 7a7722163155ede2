//! The name that a client gives a request, so that a retry does not repeat its work.

use http::HeaderValue;
use partway_api::ErrorCode;
use partway_api::limits::MAX_IDEMPOTENCY_KEY_BYTES;

use super::{InvalidInput, quote_for_message};

/// The value of `Idempotency-Key`: 1 to 255 visible ASCII characters. Quotes, which the header's draft requires and few
/// clients send, count as part of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Takes the value of the header.
    ///
    /// # Errors
    /// INVALID_PARAMETER.
    pub fn parse(value: &HeaderValue) -> Result<Self, InvalidInput> {
        let text = value.to_str().unwrap_or_default();
        let length = text.len();
        if (1..=MAX_IDEMPOTENCY_KEY_BYTES).contains(&length) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self(text.to_owned()));
        }
        let was = quote_for_message(String::from_utf8_lossy(value.as_bytes()));
        let allowed = format!("1 to {MAX_IDEMPOTENCY_KEY_BYTES} visible ASCII characters");
        Err(InvalidInput::new(ErrorCode::InvalidParameter, "Idempotency-Key", was, allowed))
    }

    /// The key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
