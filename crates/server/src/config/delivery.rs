//! How files are served.

use http::HeaderValue;

use super::section::section;

section! {
    #[doc = "How files are served."]
    pub struct DeliverySettings {
        #[doc = "`Cache-Control` of served files. The default lets caches keep a file but makes them ask whether it was replaced. Answers to a `version_url` carry `public, max-age=31536000, immutable` instead, unless this has `private` or `no-store`."]
        cache_control: HeaderValue = "delivery.cache_control", "public, no-cache";
    }
}

impl DeliverySettings {
    /// `Cache-Control` of answers to URLs that name a version: a year, because such an answer never changes. A rule that keeps files out of
    /// shared caches or of all stays as it is; `no-transform` stays as well.
    pub fn version_cache_control(&self) -> HeaderValue {
        let rule = &self.cache_control;
        let Ok(text) = rule.to_str() else { return rule.clone() };
        // A comma within quotes splits, too: at worst the rule is taken for a stricter one.
        let names = || text.split(',').map(|directive| directive.split('=').next().unwrap_or_default().trim());
        let has = |wanted: &str| names().any(|name| name.eq_ignore_ascii_case(wanted));
        match has("private") || has("no-store") {
            true => rule.clone(),
            false if has("no-transform") => {
                HeaderValue::from_static("public, max-age=31536000, immutable, no-transform")
            }
            false => HeaderValue::from_static("public, max-age=31536000, immutable"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_kept_for_a_year_unless_the_rule_keeps_files_out_of_caches() {
        const YEAR: &str = "public, max-age=31536000, immutable";
        for (rule, expected) in [
            ("public, no-cache", YEAR),
            ("max-age=60", YEAR),
            ("", YEAR),
            ("x-private, s-maxage=5", YEAR),
            ("public, no-cache, No-Transform", "public, max-age=31536000, immutable, no-transform"),
            ("private", "private"),
            ("max-age=60,PRIVATE", "max-age=60,PRIVATE"),
            ("private=\"set-cookie\", max-age=1", "private=\"set-cookie\", max-age=1"),
            ("no-store", "no-store"),
            ("no-transform, no-store ", "no-transform, no-store "),
        ] {
            let settings = DeliverySettings { cache_control: HeaderValue::from_str(rule).unwrap() };
            assert_eq!(settings.version_cache_control(), expected, "{rule}");
        }
        let settings = DeliverySettings { cache_control: HeaderValue::from_bytes(b"private, \xff").unwrap() };
        assert_eq!(settings.version_cache_control(), settings.cache_control);
    }
}
