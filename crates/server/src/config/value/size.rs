//! Sizes: `10MiB`, `5TiB`, `1GB`, or a plain number of bytes.
//!
//! Invariant: [`print_bytes`] prints exactly the size that was read, and its text is read as the same size.

use bytesize::ByteSize;

use super::Setting;

/// 2^53 - 1: the largest integer that every JSON reader keeps exactly (RFC 8259, section 6).
const MAX_BYTES: u64 = 9_007_199_254_740_991;

/// A size in bytes, at least one.
#[derive(Debug)]
pub enum Bytes {}

/// Bytes per second.
#[derive(Debug)]
pub enum ByteRate {}

impl Setting for Bytes {
    type Value = u64;

    const ALLOWED: &'static str = "a size such as `512KiB`, `10MiB`, `5TiB` or `1GB`, or a plain number of bytes, from 1 byte to just under 8PiB \
         (9007199254740991 bytes)";

    fn parse(text: &str) -> Option<u64> {
        parse_bytes(text).filter(|bytes| (1..=MAX_BYTES).contains(bytes))
    }

    fn problem(text: &str) -> Option<String> {
        problem_of_fraction(text)
    }
}

impl Setting for ByteRate {
    type Value = u64;

    const ALLOWED: &'static str =
        "a size such as `512B`, `1KiB` or `10KB`, or a plain number of bytes, from 1 byte to 1MB";

    fn parse(text: &str) -> Option<u64> {
        parse_bytes(text).filter(|bytes| (1..=1_000_000).contains(bytes))
    }

    fn problem(text: &str) -> Option<String> {
        problem_of_fraction(text)
    }
}

/// Reads a size. `KiB`, `MiB`, `GiB`, `TiB` and `PiB` count by 1024; `KB`, `MB`, `GB`, `TB` and `PB` by 1000. Letters may be
/// of either case, and one space may stand before the unit. A size beyond `u64` is read as the largest one, which every setting refuses.
///
/// Refused are units without `B`, because programs disagree on whether `5G` counts by 1000, and fractions, because most of
/// them are no whole number of bytes; `1536MiB` is 1.5 GiB exactly.
fn parse_bytes(text: &str) -> Option<u64> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    if number.len() == text.len() {
        return text.parse().ok();
    }
    let is_whole = number.strip_suffix(' ').unwrap_or(number).bytes().all(|byte| byte.is_ascii_digit());
    (is_whole && text.ends_with(['B', 'b'])).then(|| text.parse::<ByteSize>().ok()).flatten().map(|size| size.as_u64())
}

fn problem_of_fraction(text: &str) -> Option<String> {
    let (whole, fraction) = text.split_once('.')?;
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let digits = fraction.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    (is_digits(whole) && is_digits(digits)).then(|| {
        format!("is {text:?}; a size cannot have a fraction: write a whole number of a smaller unit, such as `1536MiB` for 1.5 GiB")
    })
}

/// The size with the largest unit that divides it: `5TiB`, `1GB`, `1500B`.
pub fn print_bytes(bytes: u64) -> String {
    use bytesize::{GB, GIB, KB, KIB, MB, MIB, PB, PIB, TB, TIB};
    const UNITS: [(u64, &str); 10] = [
        (PIB, "PiB"),
        (PB, "PB"),
        (TIB, "TiB"),
        (TB, "TB"),
        (GIB, "GiB"),
        (GB, "GB"),
        (MIB, "MiB"),
        (MB, "MB"),
        (KIB, "KiB"),
        (KB, "KB"),
    ];
    let fitting = UNITS.into_iter().find(|(factor, _)| bytes > 0 && bytes.is_multiple_of(*factor));
    let (factor, unit) = fitting.unwrap_or((1, "B"));
    format!("{}{unit}", bytes / factor)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_units() {
        for (text, bytes) in [
            ("1", 1),
            ("+7", 7),
            ("5497558138880", 5 << 40),
            ("9007199254740991", MAX_BYTES),
            ("5TiB", 5 << 40),
            ("10MiB", 10 << 20),
            ("512KiB", 512 << 10),
            ("1GB", 1_000_000_000),
            ("1 GB", 1_000_000_000),
            ("1gb", 1_000_000_000),
            ("1kB", 1000),
            ("7PiB", 7 << 50),
            ("9007199254740991B", MAX_BYTES),
        ] {
            assert_eq!(Bytes::parse(text), Some(bytes), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            " ",
            "B",
            "GiB",
            "0",
            "0GiB",
            "-1",
            "-1GiB",
            "1.5GiB",
            "0.5TB",
            "1e3",
            "1e3B",
            "5G",
            "5Gi",
            "5K",
            "5 G",
            "1GiBs",
            "1GiB ",
            " 1GiB",
            "1  GiB",
            "1\tGiB",
            "1_000",
            "1_000B",
            "1,000",
            "1GiB1MiB",
            "1GiB 1MiB",
            "0x10B",
            "8PiB",
            "9007199254740992",
            "9007199254740992B",
            "16EiB",
            "18446744073709551616",
            "18446744073709551616B",
            "99999999999999999999999999999999TiB",
            "1ZiB",
            "1GİB",
            "infB",
            "nanB",
        ] {
            assert_eq!(Bytes::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_fraction_is_answered_with_the_way_to_write_it() {
        for text in ["1.5GiB", "0.5 TB", "1.5"] {
            assert!(Bytes::problem(text).unwrap().contains("1536MiB"), "{text}");
        }
        for text in ["1.GiB", ".5GiB", "a.b", "1.2.3GiB", "-1.5GiB", "15"] {
            assert_eq!(Bytes::problem(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_as_the_same(number in 1..=MAX_BYTES, unit in 0..6_u32, is_binary: bool) {
            let base = if is_binary { 1024_u64 } else { 1000 };
            for bytes in [number, (number % 8 + 1) * base.pow(unit % 5)] {
                let printed = print_bytes(bytes);
                prop_assert_eq!(Bytes::parse(&printed), Some(bytes), "{}", &printed);
                prop_assert_eq!(Bytes::parse(&bytes.to_string()), Some(bytes));
            }
        }

        #[test]
        fn no_text_panics(text in "[0-9.eE+ -]{0,25}[KMGTPEZkmi]{0,2}[bB]{0,2}", any in ".*") {
            for text in [text, any] {
                let parsed = Bytes::parse(&text);
                let _ = Bytes::problem(&text);
                if let Some(bytes) = parsed {
                    prop_assert_eq!(Bytes::parse(&print_bytes(bytes)), Some(bytes));
                }
            }
        }
    }
}
