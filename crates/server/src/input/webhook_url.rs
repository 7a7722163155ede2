//! The URL of a webhook.

use partway_api::ErrorCode;
use partway_api::limits::MAX_URL_BYTES;
use url::Url;

use super::{InvalidInput, quote_for_message};

/// An http or https URL of at most 2,048 bytes. Its host is checked when the URL is given, and again at each call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookUrl(String);

impl WebhookUrl {
    /// Takes the value of `webhook_url`.
    ///
    /// # Errors
    /// INVALID_PARAMETER.
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        let url = Url::parse(text).ok().filter(|url| {
            let has_user = !url.username().is_empty() || url.password().is_some();
            // The length as stored: encoding makes characters other than ASCII longer.
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && !has_user
                && url.as_str().len() <= MAX_URL_BYTES
        });
        url.map(|url| Self(url.into())).ok_or_else(|| {
            let allowed = format!("an http or https URL of at most {MAX_URL_BYTES} bytes, without user and password");
            InvalidInput::new(ErrorCode::InvalidParameter, "webhook_url", quote_for_message(text), allowed)
        })
    }

    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URL.
    pub fn into_inner(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_urls_are_taken() {
        assert_eq!(WebhookUrl::parse("https://hooks.example.com/a?b=c").unwrap().0, "https://hooks.example.com/a?b=c");
        let long = format!("https://x/{}", "a".repeat(MAX_URL_BYTES));
        let long_encoded = format!("https://x/{}", "文".repeat(300));
        for bad in ["", &long_encoded, "x", "ftp://x", "javascript:alert(1)", "http://", "https://u:p@x/", &long] {
            assert_eq!(WebhookUrl::parse(bad).unwrap_err().code, ErrorCode::InvalidParameter, "{bad}");
        }
    }
}
