//! The version of a file that a URL asks for.

use partway_api::ErrorCode;
use url::form_urlencoded;

use super::{InvalidInput, quote_for_message};
use crate::model::FileVersion;

/// The parameter of `version_url`.
const PARAMETER: &str = "v";

/// Reads `v` from the query of a file's URL; `None` without it. Values that name no version are ignored, as all other parameters are: sites
/// add a `v` of their own (`logo.png?v=2`) so that browsers fetch a picture again.
///
/// # Errors
/// INVALID_PARAMETER when it names two versions.
pub fn wanted_version(query: &str) -> Result<Option<FileVersion>, InvalidInput> {
    let values = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == PARAMETER);
    let mut versions = values.filter_map(|(_, value)| FileVersion::parse(&value));
    let wanted = versions.next();
    match versions.find(|other| wanted.as_ref() != Some(other)) {
        None => Ok(wanted),
        Some(other) => {
            let was = format!("given for two versions, the second of them {}", quote_for_message(other.to_string()));
            Err(InvalidInput::new(ErrorCode::InvalidParameter, PARAMETER, was, "one version, as `version_url` has it"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "pw-0123456789abcdef0123";

    #[test]
    fn a_version_is_read_from_among_other_parameters() {
        let version = FileVersion::parse(NAME);
        for query in [
            format!("v={NAME}"),
            format!("utm=x&v={NAME}&V=1"),
            format!("%76=%70{}", &NAME[1..]),
            format!("v=2&v={NAME}&v={NAME}"),
        ] {
            assert_eq!(wanted_version(&query), Ok(version.clone()), "{query}");
        }
    }

    #[test]
    fn a_parameter_that_names_no_version_is_ignored() {
        for query in
            ["", "V=1", "version=2", "vv=1", "=v", "v", "v=", "v=2", "v=1.0.3", "v=20261130", "v=0123456789abcdef0123"]
        {
            assert_eq!(wanted_version(query), Ok(None), "{query}");
        }
        for value in [format!("{NAME}0"), "a".repeat(9000), format!("%00{}", &NAME[1..]), NAME.to_uppercase()] {
            assert_eq!(wanted_version(&format!("v={value}")), Ok(None), "{value}");
        }
    }

    #[test]
    fn two_versions_are_refused() {
        let other = NAME.replace('0', "f");
        let error = wanted_version(&format!("v={NAME}&v={other}")).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidParameter);
        assert!(
            error.message.starts_with("`v` is given for two versions") && error.message.contains(&other),
            "{error:?}"
        );
    }
}
