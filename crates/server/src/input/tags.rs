//! Tags of a file.

use partway_api::ErrorCode;
use partway_api::limits::{MAX_TAG_CHARS, MAX_TAGS};
use serde_json::Value;

use super::{InvalidInput, quote_for_message};

/// Tags: trimmed, none empty, none twice, in the order given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tags(Vec<String>);

impl Tags {
    /// Takes the value of `tags`: a list of strings, or a text as [`Tags::split`] reads it.
    ///
    /// # Errors
    /// INVALID_TAGS.
    pub fn parse(value: &Value) -> Result<Self, InvalidInput> {
        Self::parse_field(value, "tags")
    }

    /// Takes the value of the member `field`.
    ///
    /// # Errors
    /// INVALID_TAGS.
    pub fn parse_field(value: &Value, field: &str) -> Result<Self, InvalidInput> {
        let refuse = |was: String, allowed: String| InvalidInput::new(ErrorCode::InvalidTags, field, was, allowed);
        let given: Option<Vec<String>> = match value {
            Value::String(list) => Some(Self::split(list)),
            Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
            _ => None,
        };
        let given = given.ok_or_else(|| {
            refuse(quote_for_message(value), "a list of strings, or one comma-separated string".into())
        })?;
        Self::of(given, field)
    }

    /// The tags of a text: a JSON list of strings, or separated by commas. Not checked.
    pub fn split(text: &str) -> Vec<String> {
        let is_list = text.trim_start().starts_with('[');
        let listed = is_list.then(|| serde_json::from_str(text).ok()).flatten();
        listed.unwrap_or_else(|| text.split(',').map(str::to_owned).collect())
    }

    /// Takes a list that was given as `field`.
    ///
    /// # Errors
    /// INVALID_TAGS.
    pub fn of<T: AsRef<str>>(given: impl IntoIterator<Item = T>, field: &str) -> Result<Self, InvalidInput> {
        let refuse = |was: String, allowed: String| InvalidInput::new(ErrorCode::InvalidTags, field, was, allowed);
        let mut tags: Vec<String> = Vec::new();
        for tag in given {
            let tag = tag.as_ref().trim();
            if tag.is_empty() {
                continue;
            }
            // PostgreSQL refuses text with NUL.
            if tag.contains('\0') {
                return Err(refuse(quote_for_message(tag), "tags without NUL".into()));
            }
            if tag.chars().count() > MAX_TAG_CHARS {
                return Err(refuse(quote_for_message(tag), format!("tags of at most {MAX_TAG_CHARS} characters")));
            }
            if tags.iter().all(|known| known != tag) {
                tags.push(tag.to_owned());
            }
            if tags.len() > MAX_TAGS {
                return Err(refuse(format!("a list of more than {MAX_TAGS}"), format!("at most {MAX_TAGS} tags")));
            }
        }
        Ok(Self(tags))
    }

    /// The tags.
    pub fn into_inner(self) -> Vec<String> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_and_comma_separated_text_mean_the_same() {
        let expected = vec!["campaign".to_owned(), "raw".to_owned()];
        for given in [
            json!(["campaign", "raw"]),
            json!(" campaign, raw ,,raw"),
            json!(["campaign ", "", "raw", "campaign"]),
            json!(r#" ["campaign","raw"]"#),
        ] {
            assert_eq!(Tags::parse(&given).unwrap().into_inner(), expected);
        }
        assert!(Tags::parse(&json!("")).unwrap().into_inner().is_empty());
        // A text that is no list of strings is taken as it is.
        assert_eq!(Tags::parse(&json!("[draft],1")).unwrap().into_inner(), ["[draft]", "1"]);
        assert_eq!(Tags::parse(&json!("[1]")).unwrap().into_inner(), ["[1]"]);
    }

    #[test]
    fn too_many_too_long_and_other_types_are_refused() {
        let many: Vec<String> = (0..51).map(|i| format!("t{i}")).collect();
        assert!(Tags::parse(&json!(many[..50])).is_ok());
        assert!(Tags::parse(&json!(["é".repeat(128)])).is_ok());
        for bad in [json!(many), json!(["é".repeat(129)]), json!(7), json!([1]), json!({"a": 1}), json!([null])] {
            assert_eq!(Tags::parse(&bad).unwrap_err().code, ErrorCode::InvalidTags, "{bad}");
        }
    }
}
