//! How events are sent to webhooks.

use super::section::section;
use super::value::{Count, Retention, Seconds};

section! {
    #[doc = "How events are sent to webhooks."]
    pub struct WebhookSettings {
        #[doc = "Time within which a receiver must have answered."]
        timeout_seconds: Seconds = "webhooks.timeout_seconds", "15s";
        #[doc = "Pause before an event is sent for the second time; each further pause is three times as long, up to six hours."]
        first_pause_seconds: Seconds = "webhooks.first_pause_seconds", "5s";
        #[doc = "Time during which sending an event is retried. After it the event is given up and kept; `partway webhooks replay` sends it again."]
        retry_seconds: Seconds = "webhooks.retry_seconds", "1d";
        #[doc = "Most events that wait for one webhook, or for the URLs that uploads with one API key name. If there are more, the oldest are given up at once and kept like others that were given up. The default holds a day of more than one change per second; the records take about 200 MB."]
        waiting_events: Count = "webhooks.waiting_events", "100000";
        #[doc = "Most events that a workspace keeps for replay after they were given up. The default is as many as may wait for one webhook. If there are more, the oldest are forgotten; `partway webhooks list` counts them."]
        dead_events: Count = "webhooks.dead_events", "100000";
        #[doc = "How long events that were given up are kept for replay."]
        forget_dead_seconds: Retention = "webhooks.forget_dead_seconds", "90d";
    }
}
