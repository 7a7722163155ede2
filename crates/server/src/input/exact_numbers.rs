//! Finds numbers that JSON can write and this program cannot keep: those whose digits would be lost, or that are too large.
//!
//! A number is kept in 64 bits, as a whole number or as a binary fraction, and written again with the fewest digits that are read
//! as the same value. It is kept exactly if that text has the same value as the one that was read.

use serde_json::Number;

/// The first number of a JSON text that would not come back with its value: in the member `member` of the object, or with `None`
/// anywhere. For a text that is not JSON, any answer is right.
pub(super) fn first_inexact<'t>(json: &'t [u8], member: Option<&str>) -> Option<&'t str> {
    let (mut at, mut depth, mut key) = (0, 0_usize, None::<&[u8]>);
    let mut last_string: &[u8] = &[];
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => {
                let end = end_of_string(json, at);
                last_string = &json[at..end];
                at = end;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b':' if depth == 1 => key = Some(last_string),
            b'-' | b'0'..=b'9' => {
                let rest = &json[at..];
                let length = rest.iter().position(|byte| !is_of_number(*byte)).unwrap_or(rest.len());
                let is_within = member.is_none_or(|member| key.is_some_and(|key| is_name(key, member)));
                if is_within
                    && let Ok(number) = std::str::from_utf8(&rest[..length])
                    && !is_exact(number)
                {
                    return Some(number);
                }
                at += length;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// The end of the string that begins at `begin`.
fn end_of_string(json: &[u8], begin: usize) -> usize {
    let mut at = begin + 1;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    json.len()
}

fn is_of_number(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E')
}

/// Whether a quoted name, which may have escapes, is `member`.
fn is_name(quoted: &[u8], member: &str) -> bool {
    serde_json::from_slice::<String>(quoted).is_ok_and(|name| name == member)
}

fn is_exact(text: &str) -> bool {
    let kept = serde_json::from_str::<Number>(text).ok();
    kept.is_some_and(|kept| Decimal::of(&kept.to_string()) == Decimal::of(text))
}

/// The value of a number: its digits without zeros around them, and the power of ten of the last one.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    is_negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    fn of(text: &str) -> Option<Self> {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let mut exponent: i64 = exponent.parse().ok()?;
        let unsigned = mantissa.strip_prefix('-').unwrap_or(mantissa);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let all = format!("{whole}{fraction}");
        exponent = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        let significant = all.trim_start_matches('0');
        let digits = significant.trim_end_matches('0');
        if digits.is_empty() {
            return Some(Self { is_negative: false, digits: String::new(), exponent: 0 });
        }
        exponent = exponent.checked_add(i64::try_from(significant.len() - digits.len()).ok()?)?;
        Some(Self { is_negative: mantissa.starts_with('-'), digits: digits.to_owned(), exponent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_come_back_with_their_value_are_kept() {
        for kept in [
            "0",
            "-0",
            "-0.0",
            "1",
            "1.50",
            "1E3",
            "1e-7",
            "0.1",
            "184467481.74191034",
            "18446744073709551615",
            "-9223372036854775808",
            "1e308",
            "100000000000000000000",
            "123456789012345680000",
            "0e999",
        ] {
            assert_eq!(first_inexact(format!("[{kept}]").as_bytes(), None), None, "{kept}");
        }
        for lost in [
            "18446744073709551617",
            "12345678901234567890123",
            "3.14159265358979323846",
            "0.1000000000000000055511151231257827",
            "1e400",
            "-1e400",
            "1e-400",
            "9007199254740993.0",
        ] {
            assert_eq!(first_inexact(format!("[{lost}]").as_bytes(), None), Some(lost), "{lost}");
        }
    }

    #[test]
    fn only_numbers_of_the_member_count() {
        let lost = "1e400";
        let body = |member: &str| {
            format!(r#"{{"size":{lost},"x":{{"metadata":{lost}}},"{member}":{{"a\"]":[1,{{"b":{lost}}}]}}}}"#)
        };
        assert_eq!(first_inexact(body("metadata").as_bytes(), Some("metadata")), Some(lost));
        assert_eq!(first_inexact(body("met\\u0061data").as_bytes(), Some("metadata")), Some(lost));
        assert_eq!(first_inexact(body("other").as_bytes(), Some("metadata")), None);
        for text in ["1e400", r#"{"metadata":"1e400"}"#, r#"{"metadata"#, r#"{"metadata":"\"#, ""] {
            assert_eq!(first_inexact(text.as_bytes(), Some("metadata")), None, "{text}");
        }
    }
}
