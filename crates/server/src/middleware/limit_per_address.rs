//! The limit on requests from one address, across all keys.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method};

use crate::app::App;
use crate::config::Networks;
use crate::error::ApiError;
use crate::http::PeerAddress;
use crate::service::part_urls::is_part_path;

/// Limits requests to the API, except for parts: a client that was granted a session may send it as fast as the line allows.
pub(super) async fn per_address(State(app): State<App>, request: Request, next: Next) -> Response {
    if is_limited(request.method(), request.uri().path())
        && let Some(PeerAddress(peer)) = request.extensions().get()
    {
        let address = client_address(*peer, request.headers(), &app.config.http.trusted_proxies);
        if let Err(wait) = app.rate_limits.check_address(address) {
            return ApiError::rate_limited("this address", wait).into_response();
        }
    }
    next.run(request).await
}

fn is_limited(method: &Method, path: &str) -> bool {
    path.starts_with("/api/") && !(method == Method::PUT && is_part_path(path))
}

/// The nearest address that is not a trusted proxy's. Each proxy appends the address that it was called from.
fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &Networks) -> IpAddr {
    let values =
        headers.get_all("x-forwarded-for").iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let forwarded: Vec<&[u8]> = values.collect();
    let mut client = peer.to_canonical();
    for text in forwarded.into_iter().rev() {
        if !trusted.contain(client) {
            break;
        }
        // Text that is no address ends the chain: addresses to its left were not appended by a trusted proxy.
        let text = std::str::from_utf8(text).unwrap_or_default().trim();
        // Some proxies append the port.
        match text.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip())) {
            Ok(address) => client = address.to_canonical(),
            Err(_) => break,
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    use crate::config::Setting;

    #[test]
    fn the_api_is_limited_except_for_parts() {
        let part = "/api/v1/multipart/x/parts/0";
        for (method, path, limited) in [
            (Method::PUT, part, false),
            (Method::POST, part, true),
            (Method::PUT, "/api/v1/files/x", true),
            (Method::GET, "/api/v1/files", true),
            (Method::GET, "/w/f", false),
        ] {
            assert_eq!(is_limited(&method, path), limited, "{method} {path}");
        }
    }

    #[test]
    fn forwarded_addresses_are_believed_from_trusted_proxies_alone() {
        let trusted = Networks::parse("10.0.0.0/8, ::1").unwrap();
        for (peer, said, client) in [
            ("203.0.113.9", "1.2.3.4", "203.0.113.9"),
            ("10.0.0.1", "1.2.3.4", "1.2.3.4"),
            ("10.0.0.1", "6.6.6.6, 1.2.3.4", "1.2.3.4"),
            ("10.0.0.1", "1.2.3.4, 10.9.9.9", "1.2.3.4"),
            ("10.0.0.1", "nonsense", "10.0.0.1"),
            ("10.0.0.1", "\u{fc}", "10.0.0.1"),
            ("10.0.0.1", "6.6.6.6, \u{fc}, 1.2.3.4", "1.2.3.4"),
            ("10.0.0.1", "6.6.6.6, \u{fc}, 10.9.9.9", "10.9.9.9"),
            ("10.0.0.1", "", "10.0.0.1"),
            ("10.0.0.1", "1.2.3.4:5678", "1.2.3.4"),
            ("10.0.0.1", "[2001:db8::7]:80", "2001:db8::7"),
            ("::1", "10.2.2.2, 2001:db8::7", "2001:db8::7"),
            ("::ffff:10.0.0.1", "1.2.3.4", "1.2.3.4"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", HeaderValue::from_bytes(said.as_bytes()).unwrap());
            let found = client_address(peer.parse().unwrap(), &headers, &trusted);
            assert_eq!(found, client.parse::<IpAddr>().unwrap(), "{peer} {said}");
        }
    }
}
