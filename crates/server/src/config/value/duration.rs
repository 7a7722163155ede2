//! Durations: `30s`, `1h`, `90d`, or a plain number of seconds.
//!
//! Invariant: [`print_duration`] prints exactly the duration that was read, and its text is read as the same duration.

use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo, SpanRound, Unit};

use super::Setting;

macro_rules! duration {
    ($(#[doc = $about:literal] $name:ident, $most_seconds:literal, $most:literal;)*) => {$(
        #[doc = $about]
        #[derive(Debug)]
        pub enum $name {}

        impl Setting for $name {
            type Value = Duration;

            const ALLOWED: &'static str = concat!(
                "a duration such as `30s`, `5m`, `12h` or `7d`, or a plain number of seconds, from 1s to ", $most,
                ", in whole seconds"
            );

            fn parse(text: &str) -> Option<Duration> {
                parse_duration(text, $most_seconds)
            }
        }
    )*};
}

duration! {
    #[doc = "A timeout, a pause or an interval."]
    Seconds, 86_400, "1d";
    #[doc = "An upper bound of an age."]
    Age, 604_800, "7d";
    #[doc = "How long a record is kept."]
    Retention, 315_360_000, "3650d";
}

/// Reads a duration of whole seconds: numbers with the units `s`, `m`, `h`, `d` and `w` (or their names), as in `1h 30m`. A
/// day has 24 hours. Months and years, which have no fixed length, and negative durations are refused.
fn parse_duration(text: &str, most_seconds: u64) -> Option<Duration> {
    let seconds = match text.parse::<u64>() {
        Ok(seconds) => seconds,
        // Neither ISO 8601 (`PT1H`) nor clock times (`1:30:00`): one way to write each is enough.
        Err(_) if !text.starts_with(|c: char| c.is_ascii_digit()) || text.contains(':') => return None,
        Err(_) => {
            let span: Span = text.parse().ok()?;
            let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
            (duration.subsec_nanos() == 0).then(|| u64::try_from(duration.as_secs()).ok()).flatten()?
        }
    };
    (1..=most_seconds).contains(&seconds).then(|| Duration::from_secs(seconds))
}

/// The duration in days, hours, minutes and seconds, without those that are zero: `1h 30m`, `90d`.
pub fn print_duration(duration: Duration) -> String {
    let round = SpanRound::new().largest(Unit::Day).days_are_24_hours();
    let balanced = SignedDuration::try_from(duration)
        .and_then(Span::try_from)
        .and_then(|span| span.round(round))
        .map(|span| format!("{span:#}"));
    // Longer than 19,000 years.
    balanced.unwrap_or_else(|_| format!("{}s", duration.as_secs()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(text: &str) -> Option<u64> {
        Retention::parse(text).map(|duration| duration.as_secs())
    }

    #[test]
    fn durations_are_read_with_and_without_units() {
        for (text, expected) in [
            ("1", 1),
            ("+60", 60),
            ("604800", 604_800),
            ("30s", 30),
            ("1m", 60),
            ("5m", 300),
            ("1h", 3600),
            ("1h30m", 5400),
            ("1h 30m", 5400),
            ("1.5h", 5400),
            ("90d", 7_776_000),
            ("2w", 1_209_600),
            ("3650d", 315_360_000),
            ("10 minutes", 600),
            ("2000ms", 2),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            " ",
            "s",
            "h",
            "0",
            "0s",
            "-1",
            "-1h",
            "1h ago",
            "+1h",
            "1.5",
            "1.5s",
            "500ms",
            "1mo",
            "1month",
            "1y",
            "1x",
            "1h1x",
            " 1h",
            "PT1H",
            "P1D",
            "1:30:00",
            "3651d",
            "315360001",
            "18446744073709551616",
            "99999999999999999999d",
            "9223372036854775807s",
            "1d 1:00:00",
        ] {
            assert_eq!(seconds(text), None, "{text:?}");
        }
        assert_eq!((Seconds::parse("24h").is_some(), Seconds::parse("86401s")), (true, None));
        assert_eq!((Age::parse("1w").is_some(), Age::parse("8d")), (true, None));
    }

    #[test]
    fn durations_are_printed_in_the_largest_units() {
        for (seconds, printed) in [
            (1, "1s"),
            (90, "1m 30s"),
            (3600, "1h"),
            (86_400, "1d"),
            (604_800, "7d"),
            (7_776_000, "90d"),
            (90_061, "1d 1h 1m 1s"),
        ] {
            assert_eq!(print_duration(Duration::from_secs(seconds)), printed);
        }
        assert_eq!(print_duration(Duration::from_secs(u64::MAX)), "18446744073709551615s");
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_as_the_same(number in 1..=315_360_000_u64) {
            let printed = print_duration(Duration::from_secs(number));
            prop_assert_eq!(seconds(&printed), Some(number), "{}", &printed);
            prop_assert_eq!(seconds(&number.to_string()), Some(number));
        }

        #[test]
        fn no_text_panics(text in "([0-9.]{1,12} ?[smhdwy]{0,2} ?){0,4}", any in ".*") {
            for text in [text, any] {
                if let Some(duration) = Retention::parse(&text) {
                    prop_assert_eq!(Retention::parse(&print_duration(duration)), Some(duration));
                }
            }
        }
    }
}
