//! The size and the version of a file, as the server's headers name them.
//!
//! Invariant: a version has a strong entity tag (RFC 9110, section 8.8.3), so that bytes of two answers with the same tag belong together.

use std::ops::Range;

use reqwest::StatusCode;
use reqwest::header::{CONTENT_RANGE, ETAG, HeaderMap};
use serde::{Deserialize, Serialize};

/// A version of a file that can be fetched in ranges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Version {
    /// Its length.
    pub(crate) size_bytes: u64,
    /// Its strong entity tag, quotes included.
    pub(crate) etag: String,
}

impl Version {
    /// Whether an answer with these headers is of this version and begins at the first byte of `range`. It may be shorter.
    pub(crate) fn has(&self, range: &Range<u64>, headers: &HeaderMap) -> bool {
        strong_etag(headers).is_some_and(|etag| etag == self.etag)
            && content_range(headers)
                .is_some_and(|(first, size_bytes)| first == Some(range.start) && size_bytes == self.size_bytes)
    }
}

/// How the server serves a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Served {
    /// In ranges, of this version.
    InRanges(Version),
    /// Only whole: the server supports no ranges, or names no strong entity tag.
    Whole {
        /// Its length, if the server names it.
        size_bytes: Option<u64>,
    },
}

impl Served {
    /// Reads the answer to a request for the first byte; `None` when it does not describe the file.
    pub(crate) fn of(status: StatusCode, headers: &HeaderMap, content_length: Option<u64>) -> Option<Self> {
        let range = content_range(headers);
        match (status, range, strong_etag(headers)) {
            (StatusCode::PARTIAL_CONTENT, Some((Some(0), size_bytes)), Some(etag)) => {
                Some(Self::InRanges(Version { size_bytes, etag: etag.to_owned() }))
            }
            (StatusCode::PARTIAL_CONTENT, range, _) => {
                Some(Self::Whole { size_bytes: range.map(|(_, size_bytes)| size_bytes) })
            }
            // An empty file has no first byte.
            (StatusCode::RANGE_NOT_SATISFIABLE, Some((None, 0)), _) => Some(Self::Whole { size_bytes: Some(0) }),
            (StatusCode::OK, ..) => Some(Self::Whole { size_bytes: content_length }),
            _ => None,
        }
    }

    pub(crate) fn size_bytes(&self) -> Option<u64> {
        match self {
            Self::InRanges(version) => Some(version.size_bytes),
            Self::Whole { size_bytes } => *size_bytes,
        }
    }
}

/// The entity tag, unless it is weak (`W/"…"`): a weak tag does not promise equal bytes.
fn strong_etag(headers: &HeaderMap) -> Option<&str> {
    headers.get(ETAG)?.to_str().ok().filter(|etag| etag.starts_with('"'))
}

/// First byte, if there is one, and length of the whole file (RFC 9110, section 14.4).
fn content_range(headers: &HeaderMap) -> Option<(Option<u64>, u64)> {
    let (range, size_bytes) = headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?.split_once('/')?;
    let first = match range.trim() {
        "*" => None,
        range => Some(range.split_once('-')?.0.trim().parse().ok()?),
    };
    Some((first, size_bytes.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    fn headers(etag: &str, range: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [(ETAG, etag), (CONTENT_RANGE, range)] {
            if !value.is_empty() {
                headers.insert(name, HeaderValue::from_str(value).unwrap());
            }
        }
        headers
    }

    #[test]
    fn only_ranges_with_a_strong_tag_are_used() {
        let version = |etag: &str| Served::InRanges(Version { size_bytes: 9, etag: etag.into() });
        let whole = |size_bytes| Served::Whole { size_bytes };
        for (status, etag, range, expected) in [
            (206, "\"e\"", "bytes 0-0/9", Some(version("\"e\""))),
            (206, "W/\"e\"", "bytes 0-0/9", Some(whole(Some(9)))),
            (206, "", "bytes 0-0/9", Some(whole(Some(9)))),
            (206, "\"e\"", "bytes 0-0/*", Some(whole(None))),
            (206, "\"e\"", "", Some(whole(None))),
            (200, "\"e\"", "", Some(whole(Some(7)))),
            (416, "", "bytes */0", Some(whole(Some(0)))),
            (416, "", "bytes */5", None),
            (404, "", "", None),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(Served::of(status, &headers(etag, range), Some(7)), expected, "{status} {etag} {range}");
        }
    }

    #[test]
    fn an_answer_of_another_version_or_place_is_known() {
        let version = Version { size_bytes: 100, etag: "\"e\"".into() };
        for (etag, range, fits) in [
            ("\"e\"", "bytes 10-19/100", true),
            ("\"e\"", "bytes 10-12/100", true),
            ("\"e\"", "bytes 11-19/100", false),
            ("\"e\"", "bytes 10-19/101", false),
            ("\"f\"", "bytes 10-19/100", false),
            ("W/\"e\"", "bytes 10-19/100", false),
            ("", "bytes 10-19/100", false),
            ("\"e\"", "bytes */100", false),
            ("\"e\"", "", false),
        ] {
            assert_eq!(version.has(&(10..20), &headers(etag, range)), fits, "{etag} {range}");
        }
    }
}
