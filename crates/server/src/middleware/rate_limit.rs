//! Requests of one address, whatever key they have.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method};

use crate::app::App;
use crate::config::Networks;
use crate::error::ApiError;
use crate::http::PeerAddress;

/// Only the API is limited, and of it not the sending of parts (the only PUT): whoever was let in with a session may send
/// it as fast as the line allows.
pub(super) async fn per_address(State(app): State<App>, request: Request, next: Next) -> Response {
    if request.uri().path().starts_with("/api/")
        && request.method() != Method::PUT
        && let Some(PeerAddress(peer)) = request.extensions().get()
    {
        let address = client_address(*peer, request.headers(), &app.config.http.trusted_proxies);
        if let Err(wait) = app.rate_limits.check_address(address) {
            return ApiError::rate_limited("this address", wait).into_response();
        }
    }
    next.run(request).await
}

/// The nearest address that no trusted proxy has. Each proxy appends the address that it was called from.
fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &Networks) -> IpAddr {
    let values =
        headers.get_all("x-forwarded-for").iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let said: Vec<&[u8]> = values.collect();
    let mut client = peer.to_canonical();
    for text in said.into_iter().rev() {
        if !trusted.contain(client) {
            break;
        }
        // What cannot be read is no address: nobody before it is believed.
        let text = std::str::from_utf8(text).unwrap_or_default().trim();
        // Some write the port, too.
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
    fn forwarded_addresses_are_believed_of_trusted_proxies_alone() {
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
