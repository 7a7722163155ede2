//! How files are served.

use http::HeaderValue;

use super::section::section;

section! {
    #[doc = "How files are served."]
    pub struct DeliverySettings {
        #[doc = "`Cache-Control` of served files. The default lets caches keep a file but makes them ask whether it was replaced."]
        cache_control: HeaderValue = "delivery.cache_control", "public, no-cache";
    }
}
