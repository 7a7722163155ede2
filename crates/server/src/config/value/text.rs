//! Texts.

use std::fmt;

use http::HeaderValue;

use super::Setting;

/// Text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Setting for Secret {
    type Value = Self;

    const ALLOWED: &'static str = "text";
    const IS_SECRET: bool = true;

    fn parse(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }
}

/// The URL of a PostgreSQL database, which may have a password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// Takes a URL as it is; it is checked when it is used.
    pub fn new(url: String) -> Self {
        Self(url)
    }

    /// The URL, with its password.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseUrl(…)")
    }
}

impl Setting for DatabaseUrl {
    type Value = Self;

    const ALLOWED: &'static str = "a URL such as `postgres://user:password@host:5432/database`";
    const IS_SECRET: bool = true;

    fn parse(text: &str) -> Option<Self> {
        crate::db::problem_of_url(text).is_none().then(|| Self(text.to_owned()))
    }

    fn problem(text: &str) -> Option<String> {
        crate::db::problem_of_url(text)
    }
}

/// The prefix of object keys.
#[derive(Debug)]
pub enum KeyPrefix {}

impl Setting for KeyPrefix {
    type Value = String;

    const ALLOWED: &'static str = "at most 512 letters, digits, `-`, `_`, `.` and `/`, without a leading `/` and without segments \
         that are empty, `.` or `..`";

    fn parse(text: &str) -> Option<String> {
        let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'));
        let mut segments = text.strip_suffix('/').unwrap_or(text).split('/');
        let fit = segments.all(|segment| !segment.is_empty() && segment != "." && segment != "..");
        (is_plain && fit && !text.is_empty() && text.len() <= 512).then(|| text.to_owned())
    }
}

impl Setting for HeaderValue {
    type Value = Self;

    const ALLOWED: &'static str = "the value of an HTTP header";

    fn parse(text: &str) -> Option<Self> {
        Self::from_str(text).ok().filter(|_| !text.is_empty())
    }
}

impl Setting for String {
    type Value = Self;

    const ALLOWED: &'static str = "text";

    fn parse(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| text.to_owned())
    }
}
