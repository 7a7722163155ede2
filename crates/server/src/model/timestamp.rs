//! Moments, as the database stores them and as the wire shows them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment: Unix time in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The present, by the clock of this process.
    pub fn now() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    /// The moment `seconds` later.
    #[must_use]
    pub fn plus_seconds(self, seconds: u64) -> Self {
        Self(self.0.saturating_add_unsigned(seconds.saturating_mul(1000)))
    }

    /// The moment `seconds` earlier.
    #[must_use]
    pub fn minus_seconds(self, seconds: u64) -> Self {
        Self(self.0.saturating_sub_unsigned(seconds.saturating_mul(1000)))
    }

    /// The moment `milliseconds` earlier.
    #[must_use]
    pub fn minus_milliseconds(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_sub_unsigned(milliseconds))
    }

    /// Unix time in whole seconds, rounded down.
    pub fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// From Unix time in milliseconds.
    pub fn from_unix_milliseconds(milliseconds: i64) -> Self {
        Self(milliseconds)
    }

    /// Unix time in milliseconds.
    pub fn unix_milliseconds(self) -> i64 {
        self.0
    }

    /// The same moment for the standard library; before 1970 becomes 1970.
    pub fn to_system_time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(u64::try_from(self.0).unwrap_or(0))
    }

    /// ISO 8601 in UTC with milliseconds and `Z`.
    pub fn to_iso8601(self) -> String {
        humantime::format_rfc3339_millis(self.to_system_time()).to_string()
    }
}
