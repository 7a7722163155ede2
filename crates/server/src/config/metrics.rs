//! Where metrics are served.

use std::net::SocketAddr;

use super::section::section;

section! {
    #[doc = "Where metrics are served (docs/METRICS.md)."]
    pub struct MetricsSettings {
        #[doc = "Address and port of a listener for `/metrics` alone, such as `127.0.0.1:9464`; the other listener then answers 404 there. If unset, `/metrics` is served where clients are, without a key and at exactly this path: block it in the proxy, as the files in deploy/ do."]
        listen: Option<SocketAddr> = "metrics.listen", "";
    }
}
