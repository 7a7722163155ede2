//! The type that a file is served as. A file is served from the site's own host, so its scripts must not act as the site.

use super::known_types::{UNKNOWN_TYPE, essence, known_type};
use super::text_types::is_data;

/// The type that a file is served as: the less dangerous of the recorded and the declared one; the recorded one on a tie, and where
/// the declared one says nothing.
pub fn safer_type<T: AsRef<str>>(recorded: T, declared: Option<T>) -> T {
    let risk = ScriptRisk::of(recorded.as_ref());
    let is_safer = |declared: &T| !is_unknown(declared.as_ref()) && ScriptRisk::of(declared.as_ref()) < risk;
    declared.filter(is_safer).unwrap_or(recorded)
}

/// The `Content-Type` of a file with this type, whose bytes show this encoding.
pub fn content_type(media_type: &str, charset: Option<&str>) -> String {
    match charset {
        Some(charset) if !media_type.contains(';') => format!("{media_type}; charset={charset}"),
        _ => media_type.to_owned(),
    }
}

/// Types of which no browser runs anything, for any bytes of the file, in addition to pictures, sound, video, fonts and text.
const PASSIVE_TYPES: [&str; 7] = [
    UNKNOWN_TYPE,
    "application/zip",
    "application/gzip",
    "application/ogg",
    "application/mp4",
    "application/mxf",
    "application/rtf",
];
/// Types that browsers open as a page.
const PAGE_TYPES: [&str; 2] = ["text/html", "application/xhtml+xml"];
/// Types that browsers parse as XML, which may contain script, in addition to every `…+xml`.
const XML_TYPES: [&str; 3] = ["application/xml", "text/xml", "text/xsl"];
/// Top-level types that browsers show, play or render without running anything, except for XML, pages and scripts.
const PASSIVE_PREFIXES: [&str; 5] = ["image/", "video/", "audio/", "font/", "text/"];

/// The most that a browser can do with files of a type, in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ScriptRisk {
    /// Show or play it.
    Passive,
    /// Run its scripts in a viewer that is apart from the site.
    Viewer,
    /// Run something in it. Unknown types count as such.
    Active,
    /// Open it as a page of the site.
    Page,
}

impl ScriptRisk {
    /// The risk of a MIME type, with or without parameters.
    pub fn of(mime_type: &str) -> Self {
        let essence = essence(mime_type).to_ascii_lowercase();
        let essence = known_type(&essence).map_or(essence.as_str(), |known| known.name);
        if PAGE_TYPES.contains(&essence) {
            return Self::Page;
        }
        if essence == "application/pdf" {
            return Self::Viewer;
        }
        let is_xml = essence.ends_with("+xml") || XML_TYPES.contains(&essence);
        let is_code = essence == "text/javascript";
        let is_shown = !is_xml && !is_code && PASSIVE_PREFIXES.iter().any(|prefix| essence.starts_with(prefix));
        if is_shown || is_data(essence) || PASSIVE_TYPES.contains(&essence) { Self::Passive } else { Self::Active }
    }
}

/// Whether the type says nothing of the file.
fn is_unknown(mime_type: &str) -> bool {
    known_type(essence(mime_type)).is_some_and(|known| known.name == UNKNOWN_TYPE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_that_browsers_run_are_not_taken_for_types_they_only_show() {
        for (mime_type, risk) in [
            ("image/png", ScriptRisk::Passive),
            ("TEXT/Plain; charset=utf-8", ScriptRisk::Passive),
            ("Video/mp4", ScriptRisk::Passive),
            ("image/jxl", ScriptRisk::Passive),
            ("image/vnd.microsoft.icon", ScriptRisk::Passive),
            ("text/markdown", ScriptRisk::Passive),
            ("application/geo+json", ScriptRisk::Passive),
            ("application/pdf", ScriptRisk::Viewer),
            ("text/javascript", ScriptRisk::Active),
            ("ü", ScriptRisk::Active),
            ("", ScriptRisk::Active),
            ("video/x+XML", ScriptRisk::Active),
            ("image/svg+xml", ScriptRisk::Active),
            ("image/svg", ScriptRisk::Active),
            ("text/xml", ScriptRisk::Active),
            ("text/xsl", ScriptRisk::Active),
            ("application/x-unheard-of", ScriptRisk::Active),
            ("application/XHTML+xml", ScriptRisk::Page),
            (" text/HTML ;charset=utf-8", ScriptRisk::Page),
        ] {
            assert_eq!(ScriptRisk::of(mime_type), risk, "{mime_type:?}");
        }
    }

    #[test]
    fn the_safer_type_is_served_and_the_recorded_one_on_a_tie() {
        for (recorded, declared, served) in [
            ("text/html", Some("image/png"), "image/png"),
            ("text/html", Some("text/markdown"), "text/markdown"),
            ("image/png", Some("text/html"), "image/png"),
            ("image/svg+xml", Some("text/html"), "image/svg+xml"),
            ("video/mp4", Some("video/webm"), "video/mp4"),
            ("application/pdf", Some("application/octet-stream"), "application/pdf"),
            ("text/html", Some("binary/octet-stream"), "text/html"),
            ("text/html", None, "text/html"),
        ] {
            assert_eq!(safer_type(recorded, declared), served, "{recorded} {declared:?}");
        }
    }

    #[test]
    fn the_encoding_of_a_text_is_said_once() {
        assert_eq!(content_type("text/plain", Some("utf-8")), "text/plain; charset=utf-8");
        assert_eq!(content_type("text/plain; charset=koi8-r", Some("utf-8")), "text/plain; charset=koi8-r");
        assert_eq!(content_type("text/plain", None), "text/plain");
    }
}
