//! Why there is no connection, in words that say what to look at: the name, the address, or the certificate.

use std::error::Error as StdError;
use std::io;

use crate::Error;

impl From<reqwest::Error> for Error {
    fn from(error: reqwest::Error) -> Self {
        let host = host_of(&error);
        let is_away = error.is_connect();
        let error = error.without_url();
        if let Some(tls) = tls_error(&error) {
            let text = tls.to_string();
            return match tls {
                rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
                    Self::Untrusted { host, text }
                }
                rustls::Error::InvalidMessage(_) if is_away => Self::NoTls { host, text },
                _ => Self::Unreachable(format!("{host} cannot be reached: {text}")),
            };
        }
        if !is_away {
            return Self::Connection(whole_text(&error));
        }
        let cause = last_cause(&error);
        if chain(&error).any(|error| error.to_string() == "dns error") {
            return Self::UnknownHost { host, text: cause };
        }
        let is_refused = chain(&error)
            .any(|error| is_io(error).is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused));
        match is_refused {
            true => Self::Unreachable(format!("nothing listens at {host}: {cause}")),
            false => Self::Unreachable(format!("{host} cannot be reached: {cause}")),
        }
    }
}

/// Host and port of what was asked. The rest of a part URL is a permission.
fn host_of(error: &reqwest::Error) -> String {
    let named = error.url().and_then(|url| Some((url.host_str()?, url.port_or_known_default()?)));
    named.map_or_else(|| "the server".to_owned(), |(host, port)| format!("{host}:{port}"))
}

fn chain<'e>(error: &'e (dyn StdError + 'static)) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| (**error).source())
}

fn is_io<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e io::Error> {
    error.downcast_ref::<io::Error>()
}

/// The error of TLS, if there is one. An error that is wrapped in one of input and output is no source of it.
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
    async fn a_host_that_is_not_known_and_one_that_does_not_listen_are_told_apart() {
        // RFC 6761: no such name exists.
        let unknown = error_of("http://files.invalid:8080/secret?signature=1".into()).await;
        assert!(matches!(&unknown, Error::UnknownHost { host, .. } if host == "files.invalid:8080"), "{unknown:?}");
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let refused = error_of(format!("http://{free}/secret?signature=1")).await.to_string();
        assert_eq!(refused, format!("nothing listens at {free}: Connection refused (os error 111)"));
        assert!(unknown.is_mendable() && unknown.is_away());
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
        assert!(matches!(error, Error::NoTls { .. }) && !error.is_mendable(), "{error:?}");
    }
}
