//! Conditional requests (RFC 9110, section 13).
//!
//! The typed headers of the crate `headers` (0.4.2) are not used. Its `If-Range` lets a later date pass, where section 13.1.5
//! demands the very date, and a tag with a space in it panics in debug builds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};

/// The verdict of a request's conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precondition {
    /// The request continues.
    Met,
    /// 304: the client has this version.
    NotModified,
    /// 412: the client expects another version.
    Failed,
}

/// Evaluates a GET or HEAD of a representation with this strong entity tag and date, in the order of section 13.2.2.
pub fn evaluate(headers: &HeaderMap, entity_tag: &str, modified: SystemTime) -> Precondition {
    if headers.contains_key(IF_MATCH) {
        if !lists(headers, &IF_MATCH, |tag| tag == entity_tag) {
            return Precondition::Failed;
        }
    } else if date(headers, &IF_UNMODIFIED_SINCE).is_some_and(|since| whole_seconds(modified) > since) {
        return Precondition::Failed;
    }
    if headers.contains_key(IF_NONE_MATCH) {
        // Weak comparison ignores the marker of a weak tag.
        if lists(headers, &IF_NONE_MATCH, |tag| tag.strip_prefix("W/").unwrap_or(tag) == entity_tag) {
            return Precondition::NotModified;
        }
    } else if date(headers, &IF_MODIFIED_SINCE).is_some_and(|since| whole_seconds(modified) <= since) {
        return Precondition::NotModified;
    }
    Precondition::Met
}

/// Whether the second of a modification is over, so that its date names one version only. Until then the date is neither sent
/// nor accepted, because another version may get the same one. A date that was sent is thus at least a second older than its
/// answer, which makes it a strong validator (RFC 9110, section 8.8.2.2).
pub(crate) fn is_strong_date(modified: SystemTime, now: SystemTime) -> bool {
    whole_seconds(now) > whole_seconds(modified)
}

/// Whether a `Range` applies: there is no `If-Range`, or it names exactly the version that is served.
pub fn range_applies(headers: &HeaderMap, entity_tag: &str, modified: SystemTime) -> bool {
    let Some(value) = headers.get(IF_RANGE) else { return true };
    match value.to_str() {
        Ok(tag) if tag.starts_with('"') => tag == entity_tag,
        Ok(text) => {
            is_strong_date(modified, SystemTime::now())
                && httpdate::parse_http_date(text).is_ok_and(|date| date == whole_seconds(modified))
        }
        Err(_) => false,
    }
}

fn lists(headers: &HeaderMap, name: &http::HeaderName, matches: impl Fn(&str) -> bool) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    // Tags of this server and of S3 stores contain no comma, so splitting at commas finds them.
    values.flat_map(|value| value.split(',')).map(str::trim).any(|tag| tag == "*" || matches(tag))
}

fn date(headers: &HeaderMap, name: &http::HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

/// HTTP dates have no fractions.
fn whole_seconds(moment: SystemTime) -> SystemTime {
    let seconds = moment.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    UNIX_EPOCH + Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    const TAG: &str = "\"abc\"";

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn conditions_are_judged_in_the_order_of_the_rfc() {
        let modified = UNIX_EPOCH + Duration::from_millis(1_000_500);
        let (same, before, after) =
            ("Thu, 01 Jan 1970 00:16:40 GMT", "Thu, 01 Jan 1970 00:16:39 GMT", "Thu, 01 Jan 1970 00:16:41 GMT");
        for (pairs, expected) in [
            (vec![], Precondition::Met),
            (vec![(IF_NONE_MATCH, TAG)], Precondition::NotModified),
            (vec![(IF_NONE_MATCH, "\"x\", W/\"abc\"")], Precondition::NotModified),
            (vec![(IF_NONE_MATCH, "*")], Precondition::NotModified),
            (vec![(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, after)], Precondition::Met),
            (vec![(IF_MODIFIED_SINCE, same)], Precondition::NotModified),
            (vec![(IF_MODIFIED_SINCE, before)], Precondition::Met),
            (vec![(IF_MODIFIED_SINCE, "yesterday")], Precondition::Met),
            (vec![(IF_MATCH, TAG)], Precondition::Met),
            (vec![(IF_MATCH, "W/\"abc\"")], Precondition::Failed),
            (vec![(IF_MATCH, "\"x\"")], Precondition::Failed),
            (vec![(IF_UNMODIFIED_SINCE, before)], Precondition::Failed),
            (vec![(IF_UNMODIFIED_SINCE, same)], Precondition::Met),
        ] {
            assert_eq!(evaluate(&headers(&pairs), TAG, modified), expected, "{pairs:?}");
        }
        for (value, applies) in [(TAG, true), ("\"x\"", false), ("W/\"abc\"", false), (same, true), (after, false)] {
            assert_eq!(range_applies(&headers(&[(IF_RANGE, value)]), TAG, modified), applies, "{value}");
        }
        assert!(range_applies(&HeaderMap::new(), TAG, modified));
        // Another version may come within the same second.
        let now = SystemTime::now() + Duration::from_secs(1);
        let date = httpdate::fmt_http_date(now);
        assert!(!range_applies(&headers(&[(IF_RANGE, &date)]), TAG, now));
        assert!(is_strong_date(modified, modified + Duration::from_millis(500)));
        assert!(!is_strong_date(modified, modified + Duration::from_millis(499)));
    }
}
