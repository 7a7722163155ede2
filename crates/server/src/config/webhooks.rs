//! How events are told.

use super::section::section;
use super::value::Seconds;

section! {
    #[doc = "How events are told to webhooks."]
    pub struct WebhookSettings {
        #[doc = "Seconds within which a receiver must have answered."]
        timeout: Seconds = "webhooks.timeout_seconds", "15";
        #[doc = "Seconds until an event is sent again for the first time; each further pause is three times as long, up to six hours."]
        first_pause: Seconds = "webhooks.first_pause_seconds", "5";
        #[doc = "Seconds for which an event is sent again and again. Then it is kept, and `partway webhooks replay` sends it anew."]
        retry: Seconds = "webhooks.retry_seconds", "86400";
    }
}
