//! Where the server listens, and how clients reach it.

use std::net::SocketAddr;

use super::section::section;
use super::value::{BaseUrl, ByteRate, Count, Networks, Seconds};

section! {
    #[doc = "Where the server listens, and how clients reach it."]
    pub struct HttpSettings {
        #[doc = "Address and port to listen on. Port 0 takes any free one."]
        listen: SocketAddr = "listen", "127.0.0.1:8080";
        #[doc = "The URL by which clients reach this server, if it is not the address it listens on, as with a proxy. A path is allowed; requests are accepted with and without it. Every returned URL begins with it. It is never taken from a request."]
        public_url: Option<BaseUrl> = "public_url", "";
        #[doc = "The beginning of part URLs, if not `public_url`: another host or port for the upload traffic."]
        parts_url: Option<BaseUrl> = "parts_url", "";
        #[doc = "The beginning of file URLs, if not `public_url`: a CDN or a host of its own."]
        delivery_url: Option<BaseUrl> = "delivery_url", "";
        #[doc = "Proxies whose `X-Forwarded-For` names the address that a request comes from, for the limits per address. From all others the header is ignored."]
        trusted_proxies: Networks = "http.trusted_proxies", "";
        #[doc = "Time within which a client must send the head of a request, and for which a connection may be idle between two requests."]
        header_timeout_seconds: Seconds = "http.header_timeout_seconds", "1m";
        #[doc = "Time without one byte after which a transfer counts as stalled. A request body is then answered with 408; an answer of which the client takes no byte is ended and its connection closed. Clients that pause for longer while they read an answer, as browsers' players do, request the rest with `Range`."]
        stall_timeout_seconds: Seconds = "http.stall_timeout_seconds", "30s";
        #[doc = "Least rate per second at which the body of an upload must come and an answer must be taken, over `http.min_rate_window_seconds` of waiting for the client. Slower transfers are ended like stalled ones. Empty: no least rate."]
        min_rate_bytes_per_second: Option<ByteRate> = "http.min_rate_bytes_per_second", "1KiB";
        #[doc = "Time over which `http.min_rate_bytes_per_second` is measured."]
        min_rate_window_seconds: Seconds = "http.min_rate_window_seconds", "2m";
        #[doc = "Most connections at the same time; one more is answered 503 and closed. Empty: half of the open files that the process may have, and at most 10000."]
        max_connections: Option<Count> = "http.max_connections", "";
        #[doc = "Most connections at the same time from one address (of IPv6: one /64) that is not one of `http.trusted_proxies`. Empty: a quarter of `http.max_connections`."]
        max_connections_per_address: Option<Count> = "http.max_connections_per_address", "";
        #[doc = "Time that running requests get to finish after SIGTERM or SIGINT."]
        shutdown_timeout_seconds: Seconds = "http.shutdown_timeout_seconds", "30s";
    }
}
