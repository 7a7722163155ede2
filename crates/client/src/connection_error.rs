//! Connection failures, classified by what the user should check: the name, the address, or the certificate.

use std::cell::RefCell;
use std::error::Error as StdError;
use std::io;

use reqwest::redirect::{Attempt, Policy};
use reqwest::{RequestBuilder, Response};
use url::Url;

use crate::Error;

/// Redirects that one request follows.
const MAX_REDIRECTS: usize = 10;

tokio::task_local! {
    /// The last redirect target of this task's request.
    static REDIRECTED_TO: RefCell<Option<Url>>;
}

/// Follows redirects and notes their targets, because errors name only the URL that was requested first.
pub(crate) fn noting_redirects() -> Policy {
    Policy::custom(|attempt: Attempt<'_>| {
        if attempt.previous().len() > MAX_REDIRECTS {
            return attempt.error("too many redirects");
        }
        let _ = REDIRECTED_TO.try_with(|to| to.replace(Some(attempt.url().clone())));
        attempt.follow()
    })
}

/// Sends the request. Errors name the host that failed, also after a redirect.
pub(crate) async fn send(request: RequestBuilder) -> Result<Response, Error> {
    let (outcome, redirected_to) = REDIRECTED_TO
        .scope(RefCell::default(), async {
            let outcome = request.send().await;
            (outcome, REDIRECTED_TO.with(RefCell::take))
        })
        .await;
    outcome.map_err(|error| match redirected_to {
        Some(to) => {
            let asked = host_of(error.url());
            let source = Box::new(error_at(host_of(Some(&to)), error));
            Error::Elsewhere { why: format!("{asked} redirects there"), source }
        }
        None => error.into(),
    })
}

impl From<reqwest::Error> for Error {
    fn from(error: reqwest::Error) -> Self {
        error_at(host_of(error.url()), error)
    }
}

/// The failure at this host.
fn error_at(host: String, error: reqwest::Error) -> Error {
    let is_away = error.is_connect();
    let error = error.without_url();
    if error.is_builder() {
        return Error::Unsendable(whole_text(&error));
    }
    if let Some(tls) = tls_error(&error) {
        let text = tls.to_string();
        return match tls {
            rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
                Error::Untrusted { host, text }
            }
            rustls::Error::InvalidMessage(_) if is_away => Error::NoTls { host, text },
            _ => Error::Unreachable(format!("{host} cannot be reached: {text}")),
        };
    }
    if !is_away {
        let text = whole_text(&error);
        // The kernel waited for acknowledgements in vain.
        let is_dead = chain(&error).filter_map(is_io).any(|error| error.kind() == io::ErrorKind::TimedOut);
        return if is_dead { Error::Stalled(text) } else { Error::Connection(text) };
    }
    let cause = last_cause(&error);
    if chain(&error).any(|error| error.to_string() == "dns error") {
        return Error::UnknownHost { host, text: cause };
    }
    let is_refused =
        chain(&error).any(|error| is_io(error).is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused));
    match is_refused {
        true => Error::Unreachable(format!("nothing listens at {host}: {cause}")),
        false => Error::Unreachable(format!("{host} cannot be reached: {cause}")),
    }
}

/// Host and port of the URL. The rest of a part URL is a permission and is not shown.
fn host_of(url: Option<&Url>) -> String {
    let named = url.and_then(|url| Some((url.host_str()?, url.port_or_known_default()?)));
    named.map_or_else(|| "the server".to_owned(), |(host, port)| format!("{host}:{port}"))
}

fn chain<'e>(error: &'e (dyn StdError + 'static)) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| (**error).source())
}

fn is_io<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e io::Error> {
    error.downcast_ref::<io::Error>()
}

/// The TLS error in the chain, also inside an `io::Error`, which does not name its inner error as its source.
fn tls_error<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e rustls::Error> {
    chain(error).find_map(|error| {
        let wrapped = is_io(error).and_then(io::Error::get_ref).map(|inner| inner as &(dyn StdError + 'static));
        let within = wrapped.and_then(tls_error);
        error.downcast_ref::<rustls::Error>().or(within)
    })
}

fn last_cause(error: &(dyn StdError + 'static)) -> String {
    chain(error).last().unwrap_or(error).to_string()
}

fn whole_text(error: &(dyn StdError + 'static)) -> String {
    chain(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::TcpListener;

    async fn error_of(url: String) -> Error {
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder().tls_certs_only([]).build().unwrap().get(url).send().await.unwrap_err().into()
    }

    #[tokio::test]
    async fn an_unknown_host_and_a_closed_port_are_distinguished() {
        // RFC 6761: no such name exists.
        let unknown = error_of("http://files.invalid:8080/secret?signature=1".into()).await;
        assert!(matches!(&unknown, Error::UnknownHost { host, .. } if host == "files.invalid:8080"), "{unknown:?}");
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let refused = error_of(format!("http://{free}/secret?signature=1")).await.to_string();
        assert_eq!(refused, format!("nothing listens at {free}: Connection refused (os error 111)"));
        assert!(unknown.is_transient() && unknown.is_away());
    }

    #[tokio::test]
    async fn after_a_redirect_the_error_names_the_unreachable_host() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let asked = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
            let head = "HTTP/1.1 307 Temporary Redirect\r\nContent-Length: 0\r\nConnection: close\r\n";
            write!(stream, "{head}Location: http://{free}/secret?signature=1\r\n\r\n").unwrap();
        });
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().tls_certs_only([]).redirect(noting_redirects()).build().unwrap();
        let error = send(client.get(format!("http://{asked}/"))).await.unwrap_err();
        let said = "Connection refused (os error 111)";
        assert_eq!(error.to_string(), format!("nothing listens at {free}: {said} ({asked} redirects there)"));
        assert!(error.is_transient() && error.is_away());
    }

    #[tokio::test]
    async fn a_request_that_cannot_be_made_is_not_made_again() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().tls_certs_only([]).build().unwrap();
        let error = send(client.get("http://127.0.0.1/").bearer_auth("sk_x\r")).await.unwrap_err();
        assert!(matches!(error, Error::Unsendable(_)) && !error.is_transient(), "{error:?}");
        let refused = crate::Client::new("http://127.0.0.1", "sk_x\r").unwrap_err();
        assert!(refused.to_string().contains("'\\r' at character 5 of 5"), "{refused}");
    }

    #[tokio::test]
    async fn a_server_that_speaks_no_tls_is_no_matter_of_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").unwrap();
            std::thread::sleep(std::time::Duration::from_secs(1));
        });
        let error = error_of(format!("https://{address}/")).await;
        assert!(matches!(error, Error::NoTls { .. }) && !error.is_transient(), "{error:?}");
    }
}
