//! The version of a file that a URL asks for.

use partway_api::ErrorCode;
use url::form_urlencoded;

use super::{InvalidInput, quote_for_message};
use crate::model::FileVersion;

/// The parameter of `version_url`.
const PARAMETER: &str = "v";

/// Reads `v` from the query of a file's URL; `None` without it. A value that can name no version is refused: ignoring it would serve
/// whatever is there to a client that wants one version, such as one whose URL was cut.
///
/// # Errors
/// INVALID_PARAMETER.
pub fn wanted_version(query: &str) -> Result<Option<FileVersion>, InvalidInput> {
    let mut values: Vec<_> = form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name == PARAMETER)
        .map(|(_, value)| value)
        .collect();
    let invalid = |was: String, allowed: &str| InvalidInput::new(ErrorCode::InvalidParameter, PARAMETER, was, allowed);
    match (values.pop(), values.is_empty()) {
        (None, _) => Ok(None),
        (Some(text), true) => FileVersion::parse(&text).map(Some).ok_or_else(|| {
            invalid(quote_for_message(text), "the 20 digits from 0-9a-f that `version_url` has, or no `v`")
        }),
        (Some(_), false) => Err(invalid(format!("given {} times", values.len() + 1), "once, as `version_url` has it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_among_other_parameters_and_only_once() {
        let name = "0123456789abcdef0123";
        let version = FileVersion::parse(name);
        for query in [format!("v={name}"), format!("utm=x&v={name}&V=1"), format!("%76=%30{}", &name[1..])] {
            assert_eq!(wanted_version(&query), Ok(version.clone()), "{query}");
        }
        for query in ["", "V=1", "version=2", "vv=1", "=v"] {
            assert_eq!(wanted_version(query), Ok(None), "{query}");
        }
        for (query, said) in [
            ("v".to_owned(), "\"\""),
            ("v=".to_owned(), "\"\""),
            ("v=2".to_owned(), "\"2\""),
            (format!("v={name}0"), name),
            (format!("v={}", "a".repeat(9000)), "(9002 bytes)"),
            (format!("v=%00{}", &name[1..]), "\\u0000"),
            (format!("v=%ff{}", &name[1..]), "\u{fffd}"),
            (format!("v={name}&v={name}"), "given 2 times"),
            (format!("v=&v={name}&v=1"), "given 3 times"),
        ] {
            let error = wanted_version(&query).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidParameter);
            assert!(error.message.starts_with("`v` is ") && error.message.contains(said), "{query}: {}", error.message);
            assert!(error.message.len() < 300, "{}", error.message);
        }
    }
}
