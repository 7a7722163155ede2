//! The type that a file is served as. A file is served from the site's own host, so its scripts must not act as the site.

/// The type that a file is served as: the less dangerous of the detected and the declared one; the detected one on a tie.
pub fn safer_type<T: AsRef<str>>(detected: T, declared: Option<T>) -> T {
    let risk = ScriptRisk::of(detected.as_ref());
    declared.filter(|declared| ScriptRisk::of(declared.as_ref()) < risk).unwrap_or(detected)
}

/// Types of which no browser runs anything, for any bytes of the file.
const PASSIVE_TYPES: [&str; 12] = [
    "image/jpeg",
    "image/png",
    "image/gif",
    "image/webp",
    "image/avif",
    "image/bmp",
    "text/plain",
    "text/csv",
    "application/octet-stream",
    "application/zip",
    "application/gzip",
    "application/json",
];
/// Types that browsers open as a page.
const PAGE_TYPES: [&str; 2] = ["text/html", "application/xhtml+xml"];
/// Top-level types that browsers play or render without running anything, except for XML.
const PASSIVE_PREFIXES: [&str; 3] = ["video/", "audio/", "font/"];

/// The most that a browser can do with files of a type, in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ScriptRisk {
    /// Show or play it.
    Passive,
    /// Run something in it. Unknown types count as such.
    Active,
    /// Open it as a page of the site.
    Page,
}

impl ScriptRisk {
    /// The risk of a MIME type, with or without parameters.
    pub fn of(mime_type: &str) -> Self {
        let essence = mime_type.split(';').next().unwrap_or_default().trim();
        let is_one_of = |types: &[&str]| types.iter().any(|listed| essence.eq_ignore_ascii_case(listed));
        if is_one_of(&PAGE_TYPES) {
            return Self::Page;
        }
        // Browsers parse every `…+xml` as XML, which may contain script.
        let is_xml = ends_with(essence, "+xml");
        let is_media = !is_xml && PASSIVE_PREFIXES.iter().any(|prefix| starts_with(essence, prefix));
        if is_media || is_one_of(&PASSIVE_TYPES) { Self::Passive } else { Self::Active }
    }
}

fn starts_with(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn ends_with(text: &str, suffix: &str) -> bool {
    let start = text.len().saturating_sub(suffix.len());
    text.get(start..).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
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
            ("video/x+XML", ScriptRisk::Active),
            ("image/svg+xml", ScriptRisk::Active),
            ("text/javascript", ScriptRisk::Active),
            ("application/pdf", ScriptRisk::Active),
            ("ü", ScriptRisk::Active),
            ("", ScriptRisk::Active),
            (" text/HTML ;charset=utf-8", ScriptRisk::Page),
            ("application/xhtml+xml", ScriptRisk::Page),
        ] {
            assert_eq!(ScriptRisk::of(mime_type), risk, "{mime_type:?}");
        }
    }

    #[test]
    fn the_safer_type_is_served_and_the_detected_one_on_a_tie() {
        for (detected, declared, served) in [
            ("text/html", Some("image/png"), "image/png"),
            ("image/png", Some("text/html"), "image/png"),
            ("image/svg+xml", Some("text/html"), "image/svg+xml"),
            ("video/mp4", Some("video/webm"), "video/mp4"),
            ("text/html", None, "text/html"),
        ] {
            assert_eq!(safer_type(detected, declared), served, "{detected} {declared:?}");
        }
    }
}
