//! The parameters of a request's query, read one by one so that each error names its parameter. Unknown parameters are
//! ignored; empty ones count as missing.

use std::collections::HashMap;
use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;
use partway_api::ErrorCode;
use partway_api::limits::{DEFAULT_PAGE_ROWS, MAX_NAME_BYTES, MAX_PAGE_ROWS};

use crate::input::{InvalidInput, quote_for_message};

/// Upper bound of `page`: beyond any list, and its offset does not overflow.
const MAX_PAGE: u32 = 10_000_000;

/// The parameters of a request's query.
#[derive(Debug, Clone)]
pub(crate) struct Parameters(HashMap<String, String>);

impl<S: Sync> FromRequestParts<S> for Parameters {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()))
    }
}

impl Parameters {
    /// The parameter, unless it is missing or empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// `page` and `limit`, or their defaults.
    ///
    /// # Errors
    /// INVALID_PARAMETER.
    pub(crate) fn page(&self) -> Result<(u32, u32), InvalidInput> {
        self.page_of(MAX_PAGE_ROWS)
    }

    /// `page` and `limit`, or their defaults, for pages of at most `max_rows`.
    ///
    /// # Errors
    /// INVALID_PARAMETER.
    pub(crate) fn page_of(&self, max_rows: u32) -> Result<(u32, u32), InvalidInput> {
        Ok((self.number("page", 1, MAX_PAGE)?, self.number("limit", DEFAULT_PAGE_ROWS, max_rows)?))
    }

    /// A parameter to look up in the database, where no text contains NUL.
    ///
    /// # Errors
    /// INVALID_PARAMETER.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, InvalidInput> {
        match self.get(name) {
            Some(text) if text.contains('\0') => {
                Err(InvalidInput::new(ErrorCode::InvalidParameter, name, quote_for_message(text), "text without NUL"))
            }
            text => Ok(text.map(str::to_owned)),
        }
    }

    /// A part of a name to look up: no longer than a name can be.
    ///
    /// # Errors
    /// INVALID_PARAMETER.
    pub(crate) fn search(&self, name: &str) -> Result<Option<String>, InvalidInput> {
        let text = self.text(name)?;
        match text.as_deref().filter(|text| text.chars().count() > MAX_NAME_BYTES) {
            Some(long) => {
                let allowed = format!("at most {MAX_NAME_BYTES} characters");
                Err(InvalidInput::new(ErrorCode::InvalidParameter, name, quote_for_message(long), allowed))
            }
            None => Ok(text),
        }
    }

    /// A parameter that is `true` or `false`; missing means false.
    ///
    /// # Errors
    /// INVALID_PARAMETER.
    pub(crate) fn boolean(&self, name: &str) -> Result<bool, InvalidInput> {
        // `?dry_run` without a value means true.
        match self.0.get(name).map(String::as_str) {
            None | Some("false") => Ok(false),
            Some("true" | "") => Ok(true),
            Some(other) => {
                Err(InvalidInput::new(ErrorCode::InvalidParameter, name, quote_for_message(other), "true, false"))
            }
        }
    }

    fn number(&self, name: &str, default: u32, most: u32) -> Result<u32, InvalidInput> {
        let Some(text) = self.get(name) else { return Ok(default) };
        text.parse().ok().filter(|number| (1..=most).contains(number)).ok_or_else(|| {
            let allowed = format!("a whole number from 1 to {most}");
            InvalidInput::new(ErrorCode::InvalidParameter, name, quote_for_message(text), allowed)
        })
    }
}
