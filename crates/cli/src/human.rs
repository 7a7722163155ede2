//! Sizes, times and texts in the form that people read.

const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// `512 B`, `1.5 KiB`, `70.0 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut amount = bytes as f64 / 1024.0;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    // A value that would be rounded to 1024 is shown in the next unit.
    while amount >= 1023.95 {
        amount /= 1024.0;
        unit = units.next();
    }
    format!("{amount:.1} {}", unit.unwrap_or(&"EiB"))
}

/// An ISO 8601 time of the API to the minute, in UTC: `2026-11-22 10:00`. Any other text stays.
pub(crate) fn time(iso: &str) -> String {
    match (iso.get(..10), iso.get(10..11), iso.get(11..16)) {
        (Some(date), Some("T"), Some(minute)) if iso.ends_with('Z') => format!("{date} {minute}"),
        _ => plain(iso),
    }
}

/// `1 file`, `2 files`.
pub(crate) fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Whether the character controls a terminal, or reorders the text or breaks the line.
pub(crate) fn is_obeyed(c: char) -> bool {
    let directs = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || directs || matches!(c, '\u{2028}' | '\u{2029}')
}

/// The text with control characters escaped, and those that change the direction of writing.
pub(crate) fn plain(text: &str) -> String {
    text.chars().flat_map(|c| if is_obeyed(c) { c.escape_default().collect() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_one_decimal_and_the_unit_that_fits() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (73_400_320, "70.0 MiB"),
            (5 << 40, "5.0 TiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
    }

    #[test]
    fn times_are_read_to_the_minute_and_what_is_none_stays() {
        assert_eq!(time("2026-11-22T10:05:59.123Z"), "2026-11-22 10:05");
        for other in ["", "yesterday", "2026-11-22", "2026-11-22T10:05:59+01:00", "äöüäöüäöüäöüäöü"] {
            assert_eq!(time(other), other);
        }
    }

    #[test]
    fn nothing_reaches_the_terminal_that_it_would_obey() {
        assert_eq!(plain("ä\u{1b}[2J\n"), "ä\\u{1b}[2J\\n");
        assert_eq!(plain("\u{9b}2J \u{7f}"), "\\u{9b}2J \\u{7f}");
        for c in ['\u{61c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202e}', '\u{2066}', '\u{2069}', '\u{2029}'] {
            assert_eq!(plain(&format!("a{c}b")), format!("a\\u{{{:x}}}b", u32::from(c)));
        }
        // Characters that other alphabets need stay.
        for text in ["שלום", "नमस्\u{200d}ते", "می\u{200c}خواهم", "👩\u{200d}👩", "cafe\u{301}"]
        {
            assert_eq!(plain(text), text);
        }
    }
}
