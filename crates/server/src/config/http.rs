//! Where the server listens, and how the world reaches it.

use std::net::SocketAddr;

use super::section::section;
use super::value::{BaseUrl, Networks, Seconds};

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
        #[doc = "Seconds without one byte after which a request body counts as stalled and is ended with 408."]
        stall_timeout: Seconds = "http.stall_timeout_seconds", "30";
        #[doc = "Seconds that running requests get to finish after SIGTERM or SIGINT."]
        shutdown_timeout: Seconds = "http.shutdown_timeout_seconds", "30";
    }
}
