//! Headers of requests and of answers.

use std::time::{Duration, UNIX_EPOCH};

use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};
use http::{HeaderMap, HeaderName, HeaderValue};
use partway_server::fuzzing::{self, Precondition, RangeRequest};
use partway_server::input::content_digests;

use super::number;

/// Ranges are within the file, apart from each other, and ask for the same when they are written again.
pub fn range(data: &[u8]) {
    let (size, header) = number(data);
    let Ok(header) = std::str::from_utf8(header) else { return };
    let RangeRequest::Ranges(ranges) = fuzzing::parse_range(header, size) else { return };
    assert!((1..=64).contains(&ranges.len()));
    let mut total = 0_u64;
    for (index, range) in ranges.iter().enumerate() {
        assert!(range.first <= range.last && range.last < size, "{range:?} of {size}");
        total = total.checked_add(range.length()).expect("ranges do not overlap");
        for other in &ranges[index + 1..] {
            assert!(range.last + 1 < other.first || other.last + 1 < range.first, "{range:?} {other:?}");
        }
    }
    assert!(total <= size);
    let written: Vec<String> = ranges.iter().map(|range| format!("{}-{}", range.first, range.last)).collect();
    let again = fuzzing::parse_range(&format!("bytes={}", written.join(",")), size);
    // 64 ranges of 20 digits can be longer than a header that is looked at.
    assert!(again == RangeRequest::Ranges(ranges) || written.len() > 50);
}

/// Conditions agree with a plain reading of RFC 9110: the tag alone decides where one is named.
pub fn conditional(data: &[u8]) {
    let (seconds, rest) = number(data);
    let modified = UNIX_EPOCH + Duration::from_secs(seconds % (1 << 33));
    let tag = "\"abc\"";
    let names = [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, IF_RANGE];
    let mut headers = HeaderMap::new();
    for (line, name) in rest.split(|byte| *byte == b'\n').zip(names.iter().cycle()).take(10) {
        if let Ok(value) = HeaderValue::from_bytes(line)
            && !line.is_empty()
        {
            headers.append(name, value);
        }
    }
    let has = |name: &HeaderName, text: &str| {
        headers.get_all(name).iter().any(|value| String::from_utf8_lossy(value.as_bytes()).contains(text))
    };
    let judged = fuzzing::evaluate(&headers, tag, modified);
    if judged == Precondition::Failed {
        assert!(headers.contains_key(IF_MATCH) || headers.contains_key(IF_UNMODIFIED_SINCE));
    }
    if judged == Precondition::NotModified && headers.contains_key(IF_NONE_MATCH) {
        assert!(has(&IF_NONE_MATCH, tag) || has(&IF_NONE_MATCH, "*"));
    }
    if headers.contains_key(IF_MATCH) && !has(&IF_MATCH, tag) && !has(&IF_MATCH, "*") {
        assert_eq!(judged, Precondition::Failed);
    }
    if fuzzing::range_applies(&headers, tag, modified) {
        let first = headers.get(IF_RANGE);
        assert!(first.is_none_or(|value| value == tag || !value.as_bytes().starts_with(b"\"")));
    }
}

/// Two headers, a line for each piece of the input, never give more digests than there are algorithms.
pub fn content_digest(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for (index, line) in data.split(|byte| *byte == b'\n').take(8).enumerate() {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(if index == 0 { "content-md5" } else { "content-digest" }, value);
        }
    }
    match content_digests(&headers) {
        Ok(digests) => {
            // One for each algorithm, and only for those that are named.
            let shown = format!("{digests:?}");
            assert!(shown.matches("Sha256(").count() <= 1 && shown.matches("Sha512(").count() <= 1);
        }
        Err(error) => assert!(error.message.len() < 1000, "{} bytes", error.message.len()),
    }
}

/// A file name is no longer than the header, and one that was quoted is read as it was.
pub fn disposition(data: &[u8]) {
    if let Some(name) = fuzzing::disposition_file_name(data) {
        // A byte that is not UTF-8 becomes a replacement character of three bytes, each of which may be read as ISO 8859-1, in two.
        assert!(!name.is_empty() && name.len() <= 6 * data.len());
    }
    let Ok(name) = std::str::from_utf8(data) else { return };
    let escaped = name.replace('\\', "\\\\").replace('"', "\\\"");
    let read = fuzzing::disposition_file_name(format!("attachment; filename=\"{escaped}\"").as_bytes());
    assert_eq!(read.as_deref(), Some(name).filter(|name| !name.is_empty()));
    let encoded: String = data.iter().map(|byte| format!("%{byte:02X}")).collect();
    let read = fuzzing::disposition_file_name(format!("inline; filename*=UTF-8''{encoded}").as_bytes());
    assert_eq!(read.as_deref(), Some(name).filter(|name| !name.is_empty()));
}
