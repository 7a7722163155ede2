//! How events are told.

use super::section::section;
use super::value::{Count, Retention, Seconds};

section! {
    #[doc = "How events are told to webhooks."]
    pub struct WebhookSettings {
        #[doc = "Seconds within which a receiver must have answered."]
        timeout: Seconds = "webhooks.timeout_seconds", "15";
        #[doc = "Seconds until an event is sent again for the first time; each further pause is three times as long, up to six hours."]
        first_pause: Seconds = "webhooks.first_pause_seconds", "5";
        #[doc = "Seconds for which an event is sent again and again. Then it is kept, and `partway webhooks replay` sends it anew."]
        retry: Seconds = "webhooks.retry_seconds", "86400";
        #[doc = "Most events that wait for one webhook, or for the URLs that uploads with one API key name (default 100000: a day of more than one change in a second; their records take some 200 MB). Where there are more, the oldest are given up at once, and kept like the others that were."]
        waiting_events: Count = "webhooks.waiting_events", "100000";
        #[doc = "Most events that were given up and that a workspace keeps to be replayed (default 100000, as many as one webhook may have waiting). Where there are more, the oldest are forgotten; `partway webhooks list` counts them."]
        dead_events: Count = "webhooks.dead_events", "100000";
        #[doc = "How long events that were given up are kept to be replayed (default 90 days)."]
        forget_dead: Retention = "webhooks.forget_dead_seconds", "7776000";
    }
}
