//! Where the server listens, and how the world reaches it.

use std::net::SocketAddr;

use super::section::section;
use super::value::{BaseUrl, Count, Networks, Seconds};

section! {
    #[doc = "Where the server listens, and how the world reaches it."]
    pub struct HttpSettings {
        #[doc = "Address and port to listen on. Port 0 takes any free one."]
        listen: SocketAddr = "listen", "127.0.0.1:8080";
        #[doc = "The address clients know this server by, where that is not the one it listens on: behind a proxy. A path is allowed; requests are taken with and without it. Every returned URL begins with it. It is never taken from a request."]
        public_url: Option<BaseUrl> = "public_url", "";
        #[doc = "Where part URLs point, if not to `public_url`: another host or port for the upload traffic."]
        parts_url: Option<BaseUrl> = "parts_url", "";
        #[doc = "Where file URLs point, if not to `public_url`: a CDN or a host of its own."]
        delivery_url: Option<BaseUrl> = "delivery_url", "";
        #[doc = "Proxies that are believed when they say (`X-Forwarded-For`) from which address a request comes, for the limit of requests from one address. From others the header is ignored."]
        trusted_proxies: Networks = "http.trusted_proxies", "";
        #[doc = "Seconds a client may take to send the head of a request, and a connection may be idle between two."]
        header_timeout: Seconds = "http.header_timeout_seconds", "60";
        #[doc = "Seconds without one byte after which a request body counts as stalled and is ended with 408, and without one byte taken after which an answer is and its connection is closed. Programs that pause for longer while they read an answer ask for the rest with `Range`, as browsers' players do."]
        stall_timeout: Seconds = "http.stall_timeout_seconds", "30";
        #[doc = "Fewest bytes in a second that the body of an upload must bring, and that must be taken of an answer, over `http.min_rate_window_seconds` of waiting for the client. Whoever is slower is ended in the same way. Empty: no least rate."]
        min_rate: Option<Count> = "http.min_rate_bytes_per_second", "1024";
        #[doc = "Seconds over which `http.min_rate_bytes_per_second` counts."]
        min_rate_window: Seconds = "http.min_rate_window_seconds", "120";
        #[doc = "Most connections at once; one more is told 503 and closed. Empty: half of the open files that the process may have, and at most 10000."]
        max_connections: Option<Count> = "http.max_connections", "";
        #[doc = "Most connections at once from one address (of IPv6: one /64) that is not one of `http.trusted_proxies`. Empty: a quarter of `http.max_connections`."]
        max_connections_per_address: Option<Count> = "http.max_connections_per_address", "";
        #[doc = "Seconds that running requests get to finish after SIGTERM or SIGINT."]
        shutdown_timeout: Seconds = "http.shutdown_timeout_seconds", "30";
    }
}
