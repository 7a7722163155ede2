//! Pauses between the attempts to send an event.

use crate::config::WebhookSettings;

/// Upper bound of the pause between two attempts.
pub(super) const MAX_PAUSE_SECONDS: u64 = 6 * 60 * 60;
/// Factor by which each pause is longer than the one before.
const PAUSE_FACTOR: u64 = 3;

/// Seconds to wait after this number of failed attempts, with 10 % of jitter, so that a receiver that is back does not get all
/// of its events at once. `None` when the time for retries (`webhooks.retry_seconds`) is over.
pub(super) fn pause_seconds(settings: &WebhookSettings, attempts: u32) -> Option<u64> {
    let first = settings.first_pause_seconds.as_secs();
    let pause =
        |attempt: u32| first.saturating_mul(PAUSE_FACTOR.saturating_pow(attempt - 1)).min(MAX_PAUSE_SECONDS.max(first));
    let tried_seconds: u64 = (1..=attempts).map(pause).sum();
    let jittered = || (pause(attempts) as f64 * rand::random_range(0.9..1.1)).round() as u64;
    (tried_seconds <= settings.retry_seconds.as_secs()).then(jittered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_retried_for_a_day() {
        let settings = WebhookSettings::default();
        let pauses: Vec<u64> = (1..).map_while(|attempts| pause_seconds(&settings, attempts)).collect();
        let all: u64 = pauses.iter().sum();
        assert!((60_000..=95_000).contains(&all), "{pauses:?}");
        assert!(pauses[0] <= 6 && pauses[1] <= 17 && pauses.len() >= 10, "{pauses:?}");
    }
}
