//! Reads the `Range` header (RFC 9110, section 14). `partial_content.rs` answers it.

/// Maximum ranges in one answer. A request for more gets the full file (RFC 9110, section 14.2).
const MAX_RANGES: usize = 64;
/// Longest header that is parsed, in bytes.
const MAX_HEADER_BYTES: usize = 4096;

/// Bytes `first` to `last`, both inclusive, within a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// First byte, from 0.
    pub first: u64,
    /// Last byte.
    pub last: u64,
}

impl ByteRange {
    /// Bytes in the range.
    pub fn length(&self) -> u64 {
        self.last - self.first + 1
    }
}

/// The meaning of a `Range` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RangeRequest {
    /// The full file: the header is absent, malformed or in another unit.
    Full,
    /// At least one range, in the order of the request; none overlaps or touches another.
    Ranges(Vec<ByteRange>),
    /// The file has no byte of any range.
    Unsatisfiable,
}

/// Parses a `Range` header for a file of `size_bytes`. Other units and bad syntax count as no range.
pub fn parse_range(header: &str, size_bytes: u64) -> RangeRequest {
    let Some((unit, set)) = header.split_once('=') else { return RangeRequest::Full };
    if header.len() > MAX_HEADER_BYTES || !unit.trim().eq_ignore_ascii_case("bytes") {
        return RangeRequest::Full;
    }
    let mut ranges: Vec<ByteRange> = Vec::new();
    let mut requested = 0;
    for spec in set.split(',').map(str::trim).filter(|spec| !spec.is_empty()) {
        requested += 1;
        match parse_spec(spec, size_bytes) {
            Err(Malformed) => return RangeRequest::Full,
            Ok(Some(range)) => add_merged(&mut ranges, range),
            Ok(None) => {}
        }
    }
    match (requested, ranges.len()) {
        (0, _) => RangeRequest::Full,
        (_, 0) => RangeRequest::Unsatisfiable,
        (_, served) if served > MAX_RANGES => RangeRequest::Full,
        _ => RangeRequest::Ranges(ranges),
    }
}

struct Malformed;

/// Parses `first-last`, `first-` or `-suffix_length`. `None` if the file has no such byte.
fn parse_spec(spec: &str, size_bytes: u64) -> Result<Option<ByteRange>, Malformed> {
    let (first, last) = spec.split_once('-').ok_or(Malformed)?;
    let end = size_bytes.checked_sub(1);
    if first.is_empty() {
        let suffix = digits(last)?;
        let Some(last) = end.filter(|_| suffix > 0) else { return Ok(None) };
        return Ok(Some(ByteRange { first: size_bytes.saturating_sub(suffix), last }));
    }
    let first = digits(first)?;
    let last = if last.is_empty() { u64::MAX } else { digits(last)? };
    if last < first {
        return Err(Malformed);
    }
    Ok(end.filter(|end| first <= *end).map(|end| ByteRange { first, last: last.min(end) }))
}

/// Parses digits. A number too large for 64 bits counts as the largest one, which is beyond any file.
fn digits(text: &str) -> Result<u64, Malformed> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Malformed);
    }
    Ok(text.parse().unwrap_or(u64::MAX))
}

/// Adds a range, merged with those that it overlaps or touches: no byte is sent twice.
fn add_merged(ranges: &mut Vec<ByteRange>, mut range: ByteRange) {
    let mut position = None;
    let mut index = 0;
    while let Some(other) = ranges.get(index).copied() {
        if other.first <= range.last.saturating_add(1) && range.first <= other.last.saturating_add(1) {
            range = ByteRange { first: range.first.min(other.first), last: range.last.max(other.last) };
            ranges.remove(index);
            position = position.or(Some(index));
            // The merged range may touch ranges that were skipped before.
            index = 0;
        } else {
            index += 1;
        }
    }
    ranges.insert(position.unwrap_or(ranges.len()).min(ranges.len()), range);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ranges(header: &str, size: u64) -> Vec<(u64, u64)> {
        match parse_range(header, size) {
            RangeRequest::Ranges(ranges) => ranges.iter().map(|range| (range.first, range.last)).collect(),
            other => panic!("{header}: {other:?}"),
        }
    }

    #[test]
    fn the_examples_of_rfc_9110() {
        assert_eq!(ranges("bytes=0-499", 10_000), [(0, 499)]);
        assert_eq!(ranges("bytes=500-999", 10_000), [(500, 999)]);
        assert_eq!(ranges("bytes=-500", 10_000), [(9500, 9999)]);
        assert_eq!(ranges("bytes=9500-", 10_000), [(9500, 9999)]);
        assert_eq!(ranges("bytes=0-0,-1", 10_000), [(0, 0), (9999, 9999)]);
        assert_eq!(ranges("bytes= 0-999, 4500-5499, -1000", 10_000), [(0, 999), (4500, 5499), (9000, 9999)]);
        assert_eq!(ranges("bytes=500-600,601-999", 10_000), [(500, 999)]);
        assert_eq!(ranges("bytes=500-700,601-999", 10_000), [(500, 999)]);
    }

    #[test]
    fn ends_beyond_the_file_are_cut_and_beginnings_beyond_it_are_unsatisfiable() {
        assert_eq!(ranges("bytes=5-100000", 10), [(5, 9)]);
        assert_eq!(ranges("bytes=-100", 10), [(0, 9)]);
        assert_eq!(ranges("bytes=0-99999999999999999999999", 10), [(0, 9)]);
        for header in ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=99999999999999999999999-"] {
            assert_eq!(parse_range(header, 10), RangeRequest::Unsatisfiable, "{header}");
        }
        assert_eq!(parse_range("bytes=0-", 0), RangeRequest::Unsatisfiable);
    }

    #[test]
    fn malformed_headers_are_ignored() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=a-b",
            "bytes=5-2",
            "bytes=-",
            "bytes=1",
            "lines=0-1",
            "bytes=0-1,x",
            "bytes=+1-2",
            "bytes=1--2",
        ] {
            assert_eq!(parse_range(header, 10), RangeRequest::Full, "{header}");
        }
        let many: Vec<String> = (0..65).map(|i| format!("{}-{}", i * 3, i * 3)).collect();
        assert_eq!(parse_range(&format!("bytes={}", many.join(",")), 1000), RangeRequest::Full);
    }

    proptest! {
        #[test]
        fn ranges_are_within_the_file_and_apart(header in "bytes=([0-9]{0,3}-[0-9]{0,3},?){0,12}|\\PC{0,40}", size in 0..1000_u64) {
            if let RangeRequest::Ranges(ranges) = parse_range(&header, size) {
                prop_assert!(!ranges.is_empty());
                for (index, range) in ranges.iter().enumerate() {
                    prop_assert!(range.first <= range.last && range.last < size);
                    for other in &ranges[index + 1..] {
                        prop_assert!(range.last + 1 < other.first || other.last + 1 < range.first);
                    }
                }
            }
        }
    }
}
