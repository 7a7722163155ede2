//! A file that is named by its URL, as a record or a mail has it.

use partway_client::{Error, ErrorCode};
use percent_encoding::percent_decode_str;
use url::Url;

use crate::Failure;

/// The URL; `None` for text that is a path or a number.
pub(super) fn parse(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// The name of the file: the last segment of the path, without the query. Empty where the path has none.
pub(super) fn file_name(url: &Url) -> String {
    let last = url.path().rsplit('/').next().unwrap_or_default();
    percent_decode_str(last).decode_utf8_lossy().into_owned()
}

/// The failure of a download from a URL. Advice on --url would be wrong.
pub(super) fn failure(url: &Url, error: Error) -> Failure {
    match error.code() {
        Some(ErrorCode::PreconditionFailed) => {
            format!("the version that {url} names is no longer there: {error}").into()
        }
        _ if error.is_away() => error.to_string().into(),
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_no_path_and_names_the_file_without_its_query() {
        for (text, name) in [
            ("http://h/w/a.txt", "a.txt"),
            ("https://h:1/up/w/a%20b/%C3%BC%3F.txt?v=pw-0123456789abcdef0123&x=/y", "ü?.txt"),
            ("https://h/w/a.txt#/b", "a.txt"),
            ("https://h/w/a%2Fb", "a/b"),
            ("HTTPS://h/w/", ""),
            ("https://h", ""),
        ] {
            assert_eq!(parse(text).map(|url| file_name(&url)).as_deref(), Some(name), "{text}");
        }
        for path in ["a.txt", "/http://h/a", "0123456789", "http:", "ftp://h/a", "c:/a", "file:///a", ""] {
            assert_eq!(parse(path), None, "{path}");
        }
    }
}
